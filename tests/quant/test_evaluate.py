"""``python -m quant.evaluate``: numbers, JSON, and one line for bad input."""

import dataclasses
import json

import numpy as np
import pytest

from golden.tasks import Split
from quant.integer import artifact, reference
from quant.evaluate import evaluate, main, seed_number
from quant.formats import RandomFormat
from quant.integer.network import IntegerNetwork
from quant.integer.synthetic import random_artifact
from tests.quant.toy import changed


def make_split(art, count=6, steps=9):
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 256, (count, steps)), rng.integers(1, steps + 1, count),
                 rng.integers(0, art.n_classes, count))


def test_numbers_are_those_of_the_reference():
    art = random_artifact(3, stress=0.3, residual="plain", n_layers=2, H=4, n=2)
    split = make_split(art)
    counted = []
    got = evaluate(art, split, seeds=3, threads=1, progress=counted.append)
    accuracies, saturations = [], 0
    spikes, spikes_in = np.zeros(2), np.zeros(2)
    for j in range(3):
        traces = [reference.run(art, v[:L], seed_number(art, j))
                  for v, L in zip(split.values, split.lengths)]
        accuracies.append(np.mean([t.label == y for t, y in zip(traces, split.labels)]))
        saturations = saturations + sum(t.saturations for t in traces)
        spikes += sum(t.s_out.sum((1, 2), int) for t in traces)
        spikes_in += sum(t.s_in.sum((1, 2), int) for t in traces)
    slots = split.lengths.sum() * art.H * 3
    assert got["accuracies"] == accuracies
    assert got["accuracy_mean"] == pytest.approx(np.mean(accuracies))
    assert got["accuracy_std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert got["saturations"] == saturations.tolist() and sum(got["saturations"])
    assert got["spike_rates"] == pytest.approx((spikes / slots).tolist())
    assert got["spike_rates_in"] == pytest.approx((spikes_in / slots).tolist())
    assert (got["n"], sum(counted)) == (6, 18)


def test_parts_of_the_split_have_an_accuracy_of_their_own():
    art = random_artifact(3, n_layers=1, H=4, n=2)
    split = make_split(art, count=30)
    labels = IntegerNetwork(art, threads=1).run(split.values, split.lengths).labels
    few = np.arange(30) % 3 == 0
    split = dataclasses.replace(split, labels=np.where(few, labels, (labels + 1) % art.n_classes))
    got = evaluate(art, split, threads=1, subsets={"few": few, "rest": ~few})
    assert {name: (part["accuracy_mean"], part["accuracy_std"], part["n"])
            for name, part in got["subsets"].items()} == {"few": (1, 0, 10), "rest": (0, 0, 20)}
    assert got["accuracy_mean"] == pytest.approx(1 / 3)
    two = evaluate(art, split, seeds=2, threads=1, subsets={"few": few})["subsets"]["few"]
    assert two["accuracies"][0] == 1 and two["accuracy_mean"] == np.mean(two["accuracies"])
    assert "subsets" not in evaluate(art, split, threads=1)


def test_votes_sum_the_logits():
    """Two evaluations of three runs each, no seed twice."""
    art = random_artifact(4, n_layers=1, H=4, n=2, n_classes=8, residual="none")
    art = changed(art, dec_b=0 * art.spiking.dec_b)
    split = make_split(art, count=40)
    labels = IntegerNetwork(art, threads=1).run(split.values, split.lengths).labels
    split = dataclasses.replace(split, labels=labels)
    got = evaluate(art, split, seeds=2, threads=1, votes=3)
    single = evaluate(art, split, seeds=6, threads=1)
    assert got["seeds"] == single["seeds"] and len(set(got["seeds"])) == 6 and got["votes"] == 3
    for j in range(2):
        logits = [sum(reference.run(art, v[:L], seed).logits
                      for seed in got["master_seeds"][3 * j:3 * j + 3])
                  for v, L in zip(split.values, split.lengths)]
        assert got["accuracies"][j] == np.mean(np.argmax(logits, 1) == split.labels)
    assert single["accuracies"][0] == 1 > got["accuracies"][0]
    assert got["spike_rates"] == single["spike_rates"]


def test_seed_numbers():
    art = random_artifact(0)
    seeds = [seed_number(art, j) for j in range(1000)]
    assert seeds[0] == art.seed and len(set(seeds)) == 1000
    assert seeds[2] == (art.seed + 2 * 0x9E3779B1 - 1) % ((1 << 32) - 1) + 1, "as it always was"
    small = dataclasses.replace(art, seed=31, random=RandomFormat(width=5, taps=(5, 3), k=3,
                                                                  round_bits=2, stream_jump=1))
    assert {seed_number(small, j) for j in range(200)} <= set(range(1, 32))
    assert seed_number(small, 0) == 31


@pytest.fixture
def folder(tmp_path):
    from golden.tasks import make_task
    task = make_task("digits")
    art = random_artifact(0, n_layers=1, H=4, n=2, n_classes=10, length=64)
    edge = dataclasses.replace(art.spiking.edge, sample=task.sample_format)
    return artifact.save(changed(art, edge=edge), tmp_path / "art")


def test_command_line(folder, tmp_path, capsys):
    out = tmp_path / "deep" / "result.json"
    assert main(["--task", "digits", "--artifact", str(folder), "-n", "7", "--seeds", "2",
                 "--json", str(out), "--split", "val", "--votes", "3"]) == 0
    result = json.loads(out.read_text())
    assert {"accuracy_mean", "accuracy_std", "seeds", "n", "spike_rates", "saturations",
            "seconds"} <= set(result)
    assert result["n"] == 7 and len(result["seeds"]) == 6 and 0 <= result["accuracy_mean"] <= 1
    text = capsys.readouterr().out
    assert "7 sequences" in text and "3 runs, logits summed" in text and "over 2 seed(s)" in text
    assert [p.name for p in out.parent.iterdir()] == ["result.json"]


@pytest.mark.parametrize("arguments, text", [
    (["--task", "digit"], "task 'digit' is unknown"),
    (["--task", "digits", "--artifact", "nowhere"], "nowhere/manifest.json does not exist"),
    (["--task", "listops", "--artifact", "ART"],
     "is not for task listops: its vocabulary is 0, the task's is 16"),
    (["--task", "digits", "--artifact", "ART", "-n", "1", "--json", "ART/manifest.json/x"],
     "manifest.json")])
def test_bad_input_is_one_line(folder, capsys, arguments, text):
    assert main([a.replace("ART", str(folder)) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1


def test_an_artifact_for_shorter_sequences(folder, capsys):
    short = dataclasses.replace(artifact.load(folder), length=63)
    artifact.save(short, folder)
    assert main(["--task", "digits", "--artifact", str(folder)]) == 2
    assert "takes up to 63 steps, but task digits has up to 64" in capsys.readouterr().err


@pytest.mark.parametrize("option, value", [("-n", "0"), ("--seeds", "-1"), ("-n", "x")])
def test_counts(option, value):
    with pytest.raises(SystemExit) as error:
        main(["--task", "digits", option, value])
    assert error.value.code == 2
