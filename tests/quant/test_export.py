"""The export, end to end on small tasks, and every way in which it refuses."""

import json
import resource
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from golden import checkpoint
from golden.base import cli
from golden.model.config import from_dict
from golden.model.network import Network
from golden.tasks import make_task
from quant import export, prepare
from quant.integer import artifact, lfsr, reference, vectors
from quant.formats import COMPACT, QUANT_CONFIGS

COUNT = {"norms": 32, "ranges": 16}
TOY, TOKENS, SIGNED = (f"tests.quant.toy:{name}" for name in ("Toy", "ToyTokens", "ToySigned"))
SMALL = {"family": "paper", "n_blocks": 2, "d_model": 8, "d_state": 4}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


RELEASED = {"family": "released", "shared_A": True}


def made(path, task: str = TOY, seed: int = 0, info: dict | None = None, **options):
    """A checkpoint file of an untrained, calibrated network."""
    task = make_task(task)
    torch.manual_seed(seed)
    net = Network(from_dict({"n_classes": task.n_classes, "vocab": task.vocab} | SMALL | options))
    low = -1 if task.sample_format and task.sample_format.signed else 0
    net.calibrate(torch.randint(task.vocab, (8, 20)) if task.vocab else
                  low + (1 - low) * torch.rand(8, 20))
    checkpoint.save(path, net, task, info or {})
    return path


def command(monkeypatch, *arguments) -> None:
    """``python -m quant.export`` in this process."""
    monkeypatch.setattr(sys, "argv", ["quant.export", *map(str, arguments)])
    cli.run("quant.export", export.main)


def refused(monkeypatch, capsys, *arguments) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, *arguments)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.endswith("...")]
    assert stop.value.code == 2 and len(lines) == 1, lines
    assert lines[0].startswith("quant.export: ")
    return lines[0]


@pytest.mark.parametrize("task, options", [
    (TOY, {}), (TOKENS, {}), (SIGNED, {}), (SIGNED, {"residual": "plain"}),
    (TOY, {"residual": "plain"}), (TOKENS, {"residual": "plain"}),
    (TOY, {"residual": "none", "act": "identity", "shared_A": True}),
    (TOY, {"sampling": "sobol"}), (TOKENS, {"sampling": "systematic", "residual": "plain"})],
    ids=["samples", "tokens", "signed", "signed-plain", "plain", "tokens-plain", "none", "sobol",
         "systematic"])
def test_end_to_end(tmp_path, task, options):
    """Variable lengths, every residual: loads again, its vectors are the reference's answers."""
    found = checkpoint.load(made(tmp_path / "net.pt", task, **options), task=task)
    out = tmp_path / "artifact"
    export.export(found, out, n=12, n_vectors=2, count=COUNT)
    art = artifact.load(out)
    assert art.task == task and art.length == 20
    assert art.spiking.residual == found.network.cfg.residual
    assert art.spiking.sampling == options.get("sampling", "bernoulli")
    stored = vectors.load(out / "vectors.npz", art)
    test = found.task.load("test")
    for b in range(2):
        np.testing.assert_array_equal(stored.values[b], test.values[b])
        trace = reference.run(art, test.values[b, :test.lengths[b]])
        for field in ("s_in", "s_out", "signature", "logits", "saturations"):
            np.testing.assert_array_equal(getattr(trace, field), getattr(stored.traces[b], field))
    info = json.loads((out / "manifest.json").read_text())["info"]
    assert info["accuracy"]["n"] == 12 and all(0 <= info["accuracy"][k] <= 1
                                               for k in ("float", "qat", "integer"))
    assert {name: len(counts) for name, counts in info["saturations"].items()} == {
        "h": 3, "x": 3}                         # of each block and of the encoder
    limited = (4 if art.vocab else 5) if art.spiking.residual == "plain" else 2
    assert len(info["ranges"]) == limited
    assert {(row["layer"], row["tensor"]) for row in info["tensors"]} >= {
        ("0", "States s_in -> y: a_re"), ("1", "States s_in -> y: g_im"),
        ("1", "Mix s_out -> z: w"), ("decoder", "w"), ("decoder", "b"),
        ("encoder", "Embed v -> x: table" if art.vocab else "Scale v -> x: a")}


def test_same_inputs_same_integers(tmp_path):
    path = made(tmp_path / "net.pt")
    folders = []
    for name in ("one", "two"):
        torch.manual_seed(len(name) + ord(name[0]))       # whatever was drawn before
        export.export(checkpoint.load(path, task=TOY), tmp_path / name, n=0, n_vectors=0,
                      count=COUNT)
        folders.append((tmp_path / name / "arrays.npz").read_bytes())
        assert not (tmp_path / name / "vectors.npz").exists()
    assert folders[0] == folders[1]
    other = checkpoint.load(made(tmp_path / "other.pt", seed=1), task=TOY)
    export.export(other, tmp_path / "other", n=0, n_vectors=0, count=COUNT)
    assert (tmp_path / "other" / "arrays.npz").read_bytes() != folders[0]


def test_command_line(tmp_path, monkeypatch, capsys):
    """Widths, rounding and seed arrive; the tables and accuracies are printed."""
    path = made(tmp_path / "net.pt")
    command(monkeypatch, "--task", TOY, "--checkpoint", path, "--out", tmp_path / "a", "-n", 5,
            "--vectors", 1, "--seed", 99, "--state-bits", 14, "--weight-bits", 5, "--coef-bits", 18,
            "--rounding", "half_even", "--p-bits", 10, "--sampling", "systematic")
    art = artifact.load(tmp_path / "a")
    fmt = art.spiking.layers[1].fmt
    assert (fmt.h.width, fmt.w.width, str(fmt.a_bar), str(fmt.p)) == (14, 5, "SQ(1,17)", "UQ(1,10)")
    assert (art.spiking.rounding, art.spiking.sampling) == ("half_even", "systematic")
    assert art.seed == lfsr.master_seed(art.random, 99)
    assert max(abs(layer.w).max() for layer in art.spiking.layers) <= 15
    text = capsys.readouterr().out
    for part in ("a_re", "seen in calibration", "saturations", "accuracy on 5 test sequences"):
        assert part in text


@pytest.mark.parametrize("options, fitted", [
    ({}, True), ({"residual": "none", "norm_position": "post"}, True),
    ({"init": "s4d_lin"}, None)], ids=["pre", "post", "diagonal"])
def test_released_family(options, fitted, tmp_path, monkeypatch, capsys):
    """An imported network exports from its file alone, and says how it became diagonal."""
    path = made(tmp_path / "net.pt", **RELEASED | {"d_state": 8} | options,
                info={"start_values": ["encoder", "decoder"]})
    command(monkeypatch, "--task", TOY, "--checkpoint", path, "--out", tmp_path / "a", "-n", 4,
            "--vectors", 1)
    text = capsys.readouterr().out
    art = artifact.load(tmp_path / "a")
    assert "encoder and decoder were not in the imported file" in text
    assert ("8 of 8 neurons fitted; relative kernel error" in text) == bool(fitted)
    assert ("spikes changed" in text and "quant.finetune" in text) == bool(fitted)
    assert ("diagonal" in art.info) == bool(fitted)
    assert art.spiking.residual == ("replace" if options.get("residual") == "none" else "plain")
    assert bool(art.spiking.layers[0].fmt.gain) == ("norm_position" in options)
    golden = vectors.load(tmp_path / "a" / "vectors.npz", art)
    trace = reference.run(art, golden.values[0][:golden.lengths[0]])
    np.testing.assert_array_equal(golden.traces[0].signature, trace.signature)


def test_replaces_an_artifact_only_when_it_succeeds(tmp_path, monkeypatch, capsys):
    out = tmp_path / "a"
    good, bad = made(tmp_path / "good.pt"), made(tmp_path / "bad.pt", sampling="mean")
    plain = ("--task", TOY, "--out", out, "-n", 0, "--vectors", 1)
    command(monkeypatch, *plain, "--checkpoint", good)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    refused(monkeypatch, capsys, *plain, "--checkpoint", bad)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    command(monkeypatch, *plain, "--checkpoint", good, "--state-bits", 15)
    assert artifact.load(out).spiking.layers[0].fmt.h.width == 15
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "bad.pt", "good.pt"]


def test_full_disk(tmp_path, monkeypatch, capsys):
    """A limit on file sizes stands for a full disk: one line, and nothing half-written."""
    path = made(tmp_path / "net.pt")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    try:
        line = refused(monkeypatch, capsys, "--task", TOY, "--checkpoint", path, "--out",
                       tmp_path / "a", "-n", 0, "--vectors", 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot write the artifact: " in line and "File too large" in line
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]


def test_out_that_is_something_else(tmp_path, monkeypatch, capsys):
    path, out = made(tmp_path / "net.pt"), tmp_path / "precious"
    out.mkdir()
    (out / "letter.txt").write_text("keep")
    line = refused(monkeypatch, capsys, "--task", TOY, "--checkpoint", path, "--out", out, "-n", 0)
    assert "exists and is not an artifact" in line and (out / "letter.txt").read_text() == "keep"


WRONG = {
    "task": (("--task", "nothing"), "task 'nothing' is unknown; known: psmnist"),
    "checkpoint": (("--task", TOY, "--checkpoint", "missing.pt"), "missing.pt does not exist"),
    "not shipped": (("--task", TOY), "no network is shipped for task"),
    "other task": (("--task", "digits", "--checkpoint", "NET"), "not digits"),
    "width": (("--task", TOY, "--checkpoint", "NET", "--state-bits", "99"),
              "state_bits must be in"),
    "seed": (("--task", TOY, "--checkpoint", "NET", "--seed", "0"),
             "--seed 0: it must be in 1..4294967295"),
    "no qat": (("--task", TOY, "--checkpoint", "NET", "--qat", "no.pt"), "no.pt does not exist"),
    "margin": (("--task", TOY, "--checkpoint", "NET", "--margin", "inf"), "margin must be above 0"),
    "misfit": (("--task", TOY, "--checkpoint", "NET", "--state-i-bits", "1"),
               "layer 0, h: "),
}


@pytest.mark.parametrize("arguments, text", WRONG.values(), ids=WRONG.keys())
def test_refusals(tmp_path, monkeypatch, capsys, arguments, text):
    path = made(tmp_path / "net.pt")
    arguments = [str(path) if a == "NET" else a for a in arguments]
    line = refused(monkeypatch, capsys, *arguments, "--out", tmp_path / "a")
    assert text in line and not (tmp_path / "a").exists()
    if text == "layer 0, h: ":
        assert "values leave SQ(1,15) [-1, 0.999969]: seen [" in line


def test_a_fault_of_the_program_is_no_mistake_of_the_users(tmp_path, monkeypatch, capsys):
    """A traceback shows where numpy refused; a line on stderr alone would hide it."""
    path = made(tmp_path / "net.pt")
    monkeypatch.setattr(export, "evaluate", lambda *a: np.zeros(2) + np.zeros(3))
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, "--task", TOY, "--checkpoint", path, "--out", tmp_path / "a", "-n", 1)
    assert stop.value.code == cli.FAULT
    said = capsys.readouterr().err
    assert "Traceback" in said and "could not be broadcast" in said


@pytest.mark.parametrize("arguments", [("--rounding", "up"), ("--config", "huge"), ("-n", "-1")])
def test_unknown_option_values(tmp_path, monkeypatch, capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, "--task", TOY, *arguments)
    assert stop.value.code == 2 and "quant.export: error: argument" in capsys.readouterr().err


def test_missing_data(tmp_path, monkeypatch, capsys):
    path = made(tmp_path / "net.pt", "psmnist")
    (tmp_path / "empty").mkdir()
    line = refused(monkeypatch, capsys, "--task", "psmnist", "--checkpoint", path, "--out",
                   tmp_path / "a", "--data-dir", tmp_path / "empty")
    assert "train-images-idx3-ubyte" in line


def test_weights_beyond_the_largest_shift(tmp_path, monkeypatch, capsys):
    path = made(tmp_path / "net.pt")
    found = checkpoint.load(path, task=TOY)
    with torch.no_grad():
        found.network.blocks[1].fuse.gamma[3] = 1e6
    checkpoint.save(path, found.network, found.task, {})
    line = refused(monkeypatch, capsys, "--task", TOY, "--checkpoint", path, "--out",
                   tmp_path / "a", "-n", 0)
    assert "layer 1, Mix (s_out -> z): 1 of 8 rows need a left shift of up to" in line


def test_values_beyond_every_format(tmp_path, monkeypatch, capsys):
    path = made(tmp_path / "net.pt")
    found = checkpoint.load(path, task=TOY)
    with torch.no_grad():
        found.network.decoder.weight[1, 2] = 1e6
    checkpoint.save(path, found.network, found.task, {})
    line = refused(monkeypatch, capsys, "--task", TOY, "--checkpoint", path, "--out",
                   tmp_path / "a", "-n", 0)
    assert "decoder_w: 1 of 16 values leave 8 bits: seen [" in line and "ends at 127" in line


def test_named_configurations_export(tmp_path):
    for name, config in QUANT_CONFIGS.items():
        found = checkpoint.load(made(tmp_path / "net.pt"), task=TOY)
        art = export.export(found, tmp_path / name, config, n=0, n_vectors=0, count=COUNT)
        assert art.spiking.layers[0].fmt.h.width == config.state_bits
        assert art.spiking.layers[0].fmt.a_bar.width == config.coef_bits


def test_a_shipped_network_has_its_own_widths():
    assert all((checkpoint.SHIPPED / f"{name}.pt").exists() for name in COMPACT)
    parser = export._arguments()
    for name, options, expected in [
            ("psmnist", "", QUANT_CONFIGS["default"]), ("", "", QUANT_CONFIGS["default"]),
            ("psmnist.large", "", QUANT_CONFIGS["compact"]),
            ("psmnist.large", "--config wide", QUANT_CONFIGS["wide"]),
            ("psmnist.small", "--g-bits 9", replace(QUANT_CONFIGS["compact"], g_bits=9))]:
        args = parser.parse_args(["--task", "psmnist", *options.split()])
        assert prepare.config_of(args, name) == expected
