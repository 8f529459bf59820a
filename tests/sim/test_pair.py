"""Networks with two inputs through the RTL: sums of both sequences, and what the head says."""

import json
from dataclasses import replace

import numpy as np
import pytest

from host import __main__ as host
from host import adapt
from host.run import Tally as Answers
from quant.integer import artifact, head, vectors
from quant.integer.network import IntegerNetwork
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.core import Core
from sim import __main__ as sim
from sim import campaign, heads, inputs, pysim, verify
from sim.compare import Result, Tally
from sim.tools import SimError
from tests.sim.task import TinyPair

ART = random_artifact(seed=7, n_layers=2, H=4, n=2, n_classes=3, length=12, stress=0.05, features=5)
ONE = random_artifact(seed=7, n_layers=2, H=4, n=2, n_classes=3, length=12)
HW = HardwareConfig(lanes=2)


@pytest.fixture(scope="module")
def split():
    return TinyPair().load("test")


@pytest.fixture
def args(tmp_path):
    artifact.save(ART, tmp_path / "artifact")
    return ["--task", "tests.sim.task:TinyPair", "--lanes", "2", "--artifact",
            str(tmp_path / "artifact")]


@pytest.fixture(scope="module")
def classes(split):
    flat = split.sequences()
    batch = IntegerNetwork(ART, threads=1).run(flat.values, flat.lengths)
    return head.answers(ART, batch.logits, flat.lengths).labels


def compared(traces, results, indices, lengths):
    tally = Tally(1, 2)
    heads.compare(tally, ART, np.array(indices), np.array(lengths), traces, results)
    return tally


def test_the_core_gives_out_the_features(split, classes):
    """In Amaranth's simulator, of one pair; its sums go through the head."""
    flat = split.sequences()
    core, two = Core(ART, HW), slice(2, 4)
    sequences = [v[:n] for v, n in zip(flat.values[two], flat.lengths[two])]
    out = pysim.run(core, sequences, limit=4000)
    tally = Tally(core.geo.words, 2)
    traces = vectors.expected(ART, flat.values[two], flat.lengths[two], threads=1)
    for number, trace in enumerate(traces):
        tally.add(2 + number, trace, out.rows(number), out.result(number))
    heads.compare(tally, ART, np.array([2, 3]), flat.lengths[two], traces, out.results)
    assert tally.equal, tally.first
    assert out.results[0].logits.shape == (5,) and tally.classes == [classes[1]]


def test_the_head_is_compared(split):
    flat = split.sequences()
    traces = vectors.expected(ART, flat.values, flat.lengths, threads=1)
    results = [Result(t.label, t.logits.copy(), t.saturations) for t in traces]
    assert compared(traces, results, range(10), flat.lengths).equal
    results[7].logits[:] += 1 << 20
    tally = compared(traces, results, range(10), flat.lengths)
    assert not tally.equal and tally.first.sequence == 3
    results[4] = None
    assert compared(traces, results, range(10), flat.lengths).classes[2] == -1


def test_messages_name_example_and_input():
    tally = Tally(1, 2)
    tally.surplus(7, [1], 0)
    assert str(tally.first) == "sequence 3, input 1, layer 0, words: 1 steps more than expected"


def test_an_odd_number_of_sequences(split):
    flat = split.sequences()
    with pytest.raises(SimError, match="7 sequences, but network synthetic takes two for an"):
        campaign.run(ART, flat.values[:7], flat.lengths[:7], campaign.Options(HW))


@pytest.mark.parametrize("art, task, message", [
    (ART, "Tiny", "its number of inputs is 2, the task's is 1"),
    (ONE, "TinyPair", "its number of inputs is 1, the task's is 2")])
def test_artifact_and_task_do_not_fit(art, task, message, tmp_path, capsys):
    artifact.save(art, tmp_path / "a")
    options = ["--task", f"tests.sim.task:{task}", "--artifact", str(tmp_path / "a")]
    assert sim.main(options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.cosim
def test_every_rung_and_the_head(args, split, classes, tmp_path, capsys):
    assert sim.main([*args, "--indices", "3,1"]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "head on 2 pairs" in shown
    path = campaign.tools.build_folder("tests.sim.task-TinyPair", "report.json")
    row = json.loads(path.read_text())
    assert (row["examples"], row["sequences"], row["indices"]) == (2, 4, [3, 1])
    assert row["equal"] and row["cocotb"]["equal"] and row["cocotb"]["sequences"] == 2
    assert row["cocotb"]["classes"] == [classes[3]]
    assert row["accuracy"] == (classes[[3, 1]] == split.labels[[3, 1]]).mean()
    assert row["predicted_cycles"] == row["simulated_cycles"]
    assert verify.main([*args, "--report", str(tmp_path)]) == 0, capsys.readouterr().err
    row = json.loads((tmp_path / "tests.sim.task-TinyPair.verify.json").read_text())
    assert (row["sequences"], row["test_set"]) == (10, 10)
    assert row["accuracy"] == (classes == split.labels).mean()


@pytest.mark.cosim
def test_a_difference_of_the_head_ends_a_campaign(split, tmp_path, monkeypatch):
    flat, right = split.sequences(), vectors.expected

    def turned(*given):
        traces = right(*given)
        traces[5].logits[2] += 1
        return traces
    monkeypatch.setattr(vectors, "expected", turned)
    options = campaign.Options(HW, folder=tmp_path, with_cocotb=False)
    report = campaign.run(ART, flat.values, flat.lengths, options, inputs.flat(np.arange(5), ART),
                          report=lambda text: None)
    assert report.first.startswith("sequence 2, input 1, logits[2]: expected")


@pytest.mark.cosim
def test_the_host(args, split, tmp_path):
    out, votes = tmp_path / "host.json", 2
    assert host.main(["run", *args, "--port", "sim", "-n", "2", "--json", str(out), "--votes",
                      str(votes)]) == 0
    row = json.loads(out.read_text())
    assert (row["examples"], row["sequences"], row["runs"]) == (2, 4, 4 * votes)
    assert row["equal"] == row["runs"] and row["cycles_not_as_predicted"] == 0
    flat = split.take(np.arange(2)).sequences()
    logits = sum(IntegerNetwork(ART, seed, threads=1).run(flat.values, flat.lengths).logits
                 for seed in row["seeds"])
    said = head.answers(ART, logits, flat.lengths, votes)
    assert row["accuracy"] == (said.labels == split.labels[:2]).mean()


def test_the_host_compares_the_head(split):
    flat = split.sequences()
    logits = IntegerNetwork(ART, threads=1).run(flat.values, flat.lengths).logits
    tally = Answers(ART, logits.copy(), logits)
    assert len(tally.classes(flat, np.arange(10), 1)) == 5 and tally.first is None
    tally.logits[4] += 1 << 20
    tally.classes(flat, np.arange(10), 1)
    assert tally.first.startswith("sequence 2, logits of the votes:")


def test_adapted_heads():
    like = random_artifact(seed=8, n_layers=2, H=4, n=2, n_classes=3, length=12, features=5)
    fmt = replace(like.head.fmt, mean=replace(like.head.fmt.mean, f_bits=6),
                  b1=replace(like.head.fmt.b1, f_bits=like.head.fmt.b1.f_bits - 4))
    like = replace(like, head=replace(like.head, fmt=fmt, b1=like.head.b1 >> 4)).check()
    made, _ = adapt.adapt(ART, like)
    assert made.head.fmt == fmt
    np.testing.assert_array_equal(made.head.w1, ART.head.w1)
    np.testing.assert_array_equal(made.head.b1, np.clip(np.rint(ART.head.b1 / 16), fmt.b1.lo,
                                                        fmt.b1.hi))
    with pytest.raises(artifact.ArtifactError, match="inputs is 2, but 1 in the other network"):
        adapt.adapt(ART, ONE)
