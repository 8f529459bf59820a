"""Binary S4D and GSU from a checkpoint to integers by the commands, and every refusal."""

import json
import sys

import numpy as np
import pytest
import torch

import rtl.generate
from golden import checkpoint
from golden.base import cli
from golden.tasks import make_task
from quant import evaluate, export, finetune, tuned
from quant.formats import QuantConfig
from quant.integer import artifact, lfsr, reference, vectors
from quant.integer.memory import States
from quant.integer.ops import Limit, Step, Table, Ternary
from quant.lower.passes import FoldError, fold
from quant.tune import fit
from quant.tune.fit import ExportError
from tests.quant import stream
from tests.quant.toy import at, place_of

TOY, TOKENS = "tests.quant.toy:Toy", "tests.quant.toy:ToyTokens"
RATE = {"binary": 0.004, "gsu": 0.001}      # of fine-tuning: products of two sums move fast


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(path, kind="binary", task=TOY, **options):
    task = make_task(task)
    net = stream.network(kind, vocab=task.vocab, **options)
    net.calibrate(torch.randint(task.vocab, (8, 20)) if task.vocab else torch.rand(8, 20))
    checkpoint.save(path, net, task, {})
    return path


def command(monkeypatch, name, module, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    cli.run(name, module.main)


def refused(monkeypatch, capsys, *arguments) -> str:
    """The one line of an export that ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, "quant.export", export, "--task", TOY, "-n", 0, *arguments)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.endswith("...")]
    assert stop.value.code == 2 and len(lines) == 1, lines
    return lines[0]


def limits(art, block: int = 0) -> dict:
    """Formats of a block's limits by name; that of a sigmoid's index is ``index``."""
    return {op.makes if op.counted else "index": op.to
            for op in art.blocks[block] if isinstance(op, Limit)}


@pytest.mark.parametrize("kind, task, options", [
    ("binary", TOY, {}), ("gsu", TOKENS, {"norm_position": "post"})], ids=str)
def test_export_and_evaluation(kind, task, options, tmp_path, monkeypatch, capsys):
    path, out = made(tmp_path / "net.pt", kind, task, **options), tmp_path / "a"
    command(monkeypatch, "quant.export", export, "--task", task, "--checkpoint", path, "--out", out,
            "-n", 12, "--state-bits", 14, "--table-bits", 8, "--seed", 77)
    printed = capsys.readouterr().out
    assert "accuracy on 12 test sequences" in printed and "-> gate: w" in printed
    art = artifact.load(out)
    neuron = {"binary": Step, "gsu": Ternary}[kind]
    assert art.seed == lfsr.master_seed(art.random, 77)
    assert [type(op) for op in art.blocks[1]].count(neuron) == 1
    assert at(art, place_of(art, 0, States))[0].h.width == 14
    assert at(art, place_of(art, 0, Table))[0].index.width == 8
    for trace, v, n in zip(vectors.load(out / "vectors.npz", art).traces, *(
            getattr(make_task(task).load("test"), name) for name in ("values", "lengths"))):
        want = reference.run(art, v[:n])
        assert trace.signature.tolist() == want.signature.tolist()
    names = {"h", "x", "n", "gate", "y_in"} if kind == "gsu" else {"h", "x", "u", "n"}
    assert art.info["saturations"] == {name: [0, 0, 0] for name in names}
    arguments = ["--task", task, "--artifact", str(out), "--json", str(tmp_path / "r")]
    assert evaluate.main(arguments) == 0
    result = json.loads((tmp_path / "r").read_text())
    assert result["accuracies"] == [art.info["accuracy"]["integer"]]
    split = make_task(task).load("test")
    found = [reference.execute(art, v[:n]) for v, n in zip(split.values, split.lengths)]
    assert result["accuracies"][0] == np.mean([t.label for t in found] == split.labels)
    fired = sum((t.values["s_out"] != 0).sum((1, 2)) for t in found) / (split.lengths.sum() * art.H)
    np.testing.assert_allclose(result["spike_rates"], fired)
    assert result["saturations"] == [0, 0, 0]
    assert rtl.generate.main(["--artifact", str(out), "--out", str(tmp_path / "v")]) == 0
    assert list((tmp_path / "v").iterdir())


def test_same_inputs_same_integers(tmp_path):
    found = checkpoint.load(made(tmp_path / "net.pt", "gsu"), task=TOY)
    arts = [export.export(found, tmp_path / name, n=0) for name in ("a", "b")]
    assert (tmp_path / "a/arrays.npz").read_bytes() == (tmp_path / "b/arrays.npz").read_bytes()
    assert artifact.digest(arts[0]) == artifact.digest(arts[1])


@pytest.mark.parametrize("kind", stream.KINDS)
def test_fine_tuning(kind, tmp_path, monkeypatch, capsys):
    """It learns and its file exports; another network's file is refused."""
    path, file = made(tmp_path / "net.pt", kind), tmp_path / "tuned.pt"
    command(monkeypatch, "quant.finetune", finetune, "--task", TOY, "--checkpoint", path, "--out",
            file, "--steps", 30, "--lr", RATE[kind], "--threads", 1, "--margin", 3)
    command(monkeypatch, "quant.export", export, "--task", TOY, "--checkpoint", path, "--qat",
            file, "--out", tmp_path / "a", "-n", 12)
    art = artifact.load(tmp_path / "a")
    assert art.info["checkpoint"]["fine_tuned"] and art.info["accuracy"]["integer"] >= 0.9
    other = made(tmp_path / "other.pt", kind, seed=1)
    capsys.readouterr()
    assert "another checkpoint" in refused(monkeypatch, capsys, "--checkpoint", other, "--qat",
                                           file, "--out", tmp_path / "b")


@pytest.mark.parametrize("change, text", [
    ({"norm_position": "post"}, r"layer 0 has States \(x -> y\), the other network has Scale"),
    ({"fires_at_zero": False}, r"layer 0, Step \(y -> s_out\): fires_at_zero is False, but True in "
                               r"the other network; changing formats cannot make them equal")],
    ids=str)
def test_a_fine_tuned_file_of_other_operations(change, text, tmp_path):
    """One that says it belongs to the network, with as many operations but others."""
    found, other = (checkpoint.load(made(tmp_path / f"{k}.pt", **options), task=TOY)
                    for k, options in enumerate(({}, change)))
    tuned.save(tmp_path / "tuned.pt", found, stream.quantised(found.network)[0], 1)
    content = torch.load(tmp_path / "tuned.pt", weights_only=True)
    checkpoint.write(tmp_path / "tuned.pt", content | {"golden": tuned.state_digest(other.network)})
    with pytest.raises(ExportError, match=f"the fine-tuned file has other operations: {text}"):
        tuned.load(tmp_path / "tuned.pt", other)


@pytest.mark.parametrize("options, text", [
    ({"norm": "layer"}, "norm = layer, but the hardware needs batch"),
    ({"neuron": "gelu"}, "neuron = gelu and mixer = glu"),
], ids=str)
def test_what_has_no_integers(options, text, tmp_path, monkeypatch, capsys):
    path = made(tmp_path / "net.pt", **options)
    assert text in refused(monkeypatch, capsys, "--checkpoint", path, "--out", tmp_path / "a")


@pytest.mark.parametrize("options, text", [
    (("--sampling", "sobol"), "draws no spikes"), (("--table-bits", 3), "table_bits must be in 6"),
    (("--input-bits", 25), "input_bits must be in"), (("--margin", 0), "margin must be above 0"),
    (("--state-i-bits", 1), "layer 0, h: ")], ids=str)
def test_widths_that_do_not_do(options, text, tmp_path, monkeypatch, capsys):
    path = made(tmp_path / "net.pt")
    assert text in refused(monkeypatch, capsys, "--checkpoint", path, "--out", tmp_path / "a",
                           *options)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("config, text", [
    (QuantConfig(p_bits=16, encoder_bits=5), "encoder, a: 6 values .* use a wider encoder"),
    (QuantConfig(g_bits=4, state_bits=24), "has fewer fraction bits than h"),
    (QuantConfig(weight_bits=2, shift_bits=1), r"layer 0, Mix .*: . of 6 rows need a left shift"),
    (QuantConfig(coef_bits=2, g_bits=24, state_bits=2, margin=1e-9),
     r"layer 0, .*g: SQ.* has no room for .*; use other"),
], ids=["encoder", "d", "shift", "g"])
def test_formats_that_cannot_be_fitted(config, text):
    with pytest.raises(ExportError, match=text) as error:
        stream.artifact(config=config)
    assert "\n" not in str(error.value)


def test_tensors_that_are_not_finite_are_named():
    net = stream.network("gsu")
    with torch.no_grad():
        net.blocks[1].gate.bias[2] = torch.inf
    with pytest.raises(FoldError, match=r"layer 1, Mix \(a -> gate\), bias: 1 of 6 values are not"):
        fold(net)


def test_a_fault_of_the_program_is_no_mistake_of_the_users(monkeypatch):
    """numpy's own refusals are not presented as formats that do not go together."""
    monkeypatch.setitem(fit.Fitting.RULES, States, lambda *a: np.zeros(2) + np.zeros(3))
    with pytest.raises(ValueError, match="broadcast"):
        stream.quantised(stream.network())


@pytest.mark.parametrize("kind", stream.KINDS)
def test_widths_come_from_the_configuration(kind):
    config = QuantConfig(input_bits=10, factor_bits=13, table_bits=7, encoder_bits=14, g_bits=12,
                         coef_bits=13, state_bits=15, weight_bits=6, decoder_bits=7, p_bits=9)
    art = stream.artifact(kind, config)
    of, states = limits(art, 1), at(art, place_of(art, 1, States))[0]
    assert of["u"].width == 10 and of["n"].width <= 13 and of["x"].f_bits == 9
    if kind == "gsu":
        assert of["y_in"].width == 10 and of["gate"].width <= 13
    else:
        assert of["index"].width == 7
    assert at(art, place_of(art, 1, Table))[0].index.width == 7
    assert (states.h.width, states.a_re.fmt.width, art.decoder_w.fmt.width) == (15, 13, 7)
    assert states.g_re.fmt.width <= 12 and art.first[0].a.fmt.width == 14
