"""Binary S4D and GSU from a checkpoint to integers by the commands, and every refusal."""

import dataclasses
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import rtl.generate
from golden import checkpoint
from golden.base import cli
from golden.tasks import make_task
from quant import evaluate, export, finetune
from quant.integer import artifact
from quant import gated_reference as ref
from quant.integer.artifact import ArtifactError
from quant.tune.fit import ExportError
from quant.lower.passes import FoldError
from golden.base.qformat import SQ, FormatError
from quant.formats import QuantConfig
from quant.gated_fold import fold
from quant.integer.reference import state_update
from tests.quant import gated

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
    net = gated.network(kind, vocab=task.vocab, **options)
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


@pytest.mark.parametrize("kind, task, options", [
    ("binary", TOY, {}), ("gsu", TOKENS, {"norm_position": "post"})], ids=str)
def test_export_and_evaluation(kind, task, options, tmp_path, monkeypatch, capsys):
    path, out = made(tmp_path / "net.pt", kind, task, **options), tmp_path / "a"
    command(monkeypatch, "quant.export", export, "--task", task, "--checkpoint", path, "--out", out,
            "-n", 12, "--state-bits", 14, "--table-bits", 8, "--seed", 77)
    printed = capsys.readouterr().out
    assert "accuracy on 12 test sequences" in printed and "gate_w" in printed
    art = gated_artifact.load(out)
    assert art.mixer == gated.KINDS[kind]["mixer"] and art.seed == 77
    assert art.spiking.layers[0].fmt.h.width == 14 and art.spiking.layers[0].fmt.index.width == 8
    assert not (out / "vectors.npz").exists()
    assert all(not any(counts.values()) for counts in art.info["saturations"])
    arguments = ["--task", task, "--artifact", str(out), "--json", str(tmp_path / "r")]
    assert evaluate.main(arguments) == 0
    result = json.loads((tmp_path / "r").read_text())
    assert result["accuracies"] == [art.info["accuracy"]["integer"]]
    split = make_task(task).load("test")
    traces = [ref.run(art, v[:n]) for v, n in zip(split.values, split.lengths)]
    assert result["accuracies"][0] == np.mean([t.label for t in traces] == split.labels)
    fired = sum((t.s != 0).sum((1, 2)) for t in traces) / (split.lengths.sum() * art.H)
    np.testing.assert_allclose(result["spike_rates"], fired)
    assert np.shape(result["saturations"]) == (3, len(ref.COUNTED))
    assert rtl.generate.main(["--artifact", str(out), "--out", str(tmp_path / "v")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and f"mixer {art.mixer}" in lines[0] and "no hardware" in lines[0]
    assert not (tmp_path / "v").exists()


def test_same_inputs_same_integers(tmp_path):
    found = checkpoint.load(made(tmp_path / "net.pt", "gsu"))
    arts = [export.export(found, tmp_path / name, n=0) for name in ("a", "b")]
    assert (tmp_path / "a/arrays.npz").read_bytes() == (tmp_path / "b/arrays.npz").read_bytes()
    assert arts[0].formats == arts[1].formats


@pytest.mark.parametrize("kind", gated.KINDS)
def test_fine_tuning(kind, tmp_path, monkeypatch, capsys):
    """It learns and its file exports; another network's file is refused."""
    path, tuned = made(tmp_path / "net.pt", kind), tmp_path / "tuned.pt"
    command(monkeypatch, "quant.finetune", finetune, "--task", TOY, "--checkpoint", path, "--out",
            tuned, "--steps", 30, "--lr", RATE[kind], "--threads", 1, "--margin", 3)
    command(monkeypatch, "quant.export", export, "--task", TOY, "--checkpoint", path, "--qat",
            tuned, "--out", tmp_path / "a", "-n", 12)
    art = gated_artifact.load(tmp_path / "a")
    assert art.info["checkpoint"]["fine_tuned"] and art.info["accuracy"]["integer"] >= 0.9
    other = made(tmp_path / "other.pt", kind, seed=1)
    capsys.readouterr()
    assert "another checkpoint" in refused(monkeypatch, capsys, "--checkpoint", other, "--qat",
                                           tuned, "--out", tmp_path / "b")


@pytest.mark.parametrize("options, text", [
    ({"norm": "layer"}, "norm = layer, integers need batch"),
    ({"kernel": "two_sided"}, "kernel = two_sided, integers need causal"),
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
    (QuantConfig(p_bits=16, encoder_bits=5), "enc_w: 6 values .* use a wider encoder"),
    (QuantConfig(g_bits=4, state_bits=24), "fewer fraction bits than h .*; use other widths"),
    (QuantConfig(weight_bits=2, shift_bits=1), "layer 0, w: . of 6 rows need a left shift"),
], ids=str)
def test_formats_that_cannot_be_fitted(config, text):
    with pytest.raises(ExportError, match=text):
        gated.artifact(config=config)


def test_tensors_that_are_not_finite_are_named():
    net = gated.network("gsu")
    with torch.no_grad():
        net.blocks[1].gate.bias[2] = torch.inf
    with pytest.raises(FoldError, match="layer 1, gate_bias: 1 of 6 values are not finite"):
        fold(net)


def test_ranges_are_seen_and_proven():
    """No state leaves its proven range; a margin too wide names layer and tensor."""
    net, extremes = gated.quantised(gated.network("gsu"))
    art = gated.artifact("gsu")
    top = art.sample.hi
    trace = ref.run(art, np.arange(20) * 7 % (top + 1))
    for j, layer in enumerate(art.spiking.layers):
        limit = gated_ranges.proven(layer, 20, art.spiking.rounding) * 2 ** layer.fmt.h.f_bits
        low, high = extremes.layers[j]["h"]
        assert max(abs(trace.h_re[j]).max(), abs(trace.h_im[j]).max()) <= limit
        assert max(-low.min(), high.max()) * 2 ** layer.fmt.h.f_bits <= limit
    layer = art.spiking.layers[0]       # real decays and an input at its end reach the limit
    wide = replace(layer.fmt, h=SQ(24, layer.fmt.h.f_bits))
    layer = replace(layer, fmt=wide, a_re=abs(layer.a_re), a_im=0 * layer.a_im, g_im=0 * layer.g_im)
    h = 0 * layer.a_re
    for _ in range(20):
        h, _, _ = state_update(h, 0 * h, wide.u.lo, layer.a_re, layer.a_im, layer.g_re, layer.g_im,
                               None, "half_even", wide.states, art.random)
    limit = gated_ranges.proven(layer, 20, "half_even") * 2 ** wide.h.f_bits
    assert 0.99 * limit < abs(h).max() <= limit
    gated_ranges.check_seen(extremes, art, 1.5)
    with pytest.raises(ExportError, match="layer 0, u: [1-6] of 6 values leave SQ"):
        gated_ranges.check_seen(extremes, art, 50.0)


def test_round_trip(tmp_path):
    for kind in gated.KINDS:
        art = gated.artifact(kind)
        back = gated_artifact.load(gated_artifact.save(art, tmp_path / kind))
        for a, b in zip((art, *art.spiking.layers), (back, *back.layers)):
            for field in dataclasses.fields(a):
                if field.name != "layers":
                    np.testing.assert_equal(getattr(b, field.name), getattr(a, field.name))


def with_layer(art, **change):
    return replace(art, layers=(art.spiking.layers[0], replace(art.spiking.layers[1], **change)))


def test_artifacts_that_are_refused(tmp_path):
    art = gated.artifact()
    layer = art.spiking.layers[1]
    wrong = layer.a_re.copy()
    wrong[2, 1] = -1 << layer.fmt.a_bar.f_bits
    cases = [
        (replace(art, mixer="linear"), "mixer must be one of glu, gsu"),
        (replace(art, residual="clampfuse"), "residual must be one of none, plain"),
        (replace(art, norm_position="mid"), "norm_position must be one of pre, post"),
        (replace(art, norm_position="post"), "layer 0: u SQ.* must be x"),
        (replace(art, seed=0), "seed must be in"), (replace(art, threshold=256), "threshold: 1 of"),
        (replace(art, fires_at_zero=2), "fires_at_zero: 1 of"),
        (replace(art, length=1 << 30), "a rounding stream needs"),
        (replace(art, layers=()), "no layers"), (replace(art, vocab=3), "sample format"),
        (replace(art, enc_w=art.spiking.enc_w[:2]), r"enc_w: shape \(2,\)"),
        (replace(art, edge=replace(art.spiking.edge, dec_b=SQ(9, 3))), "dec_b"),
        (replace(art, edge=replace(art.spiking.edge, enc_w=SQ(16, 0))), "fewer fraction bits than enc_b"),
        (with_layer(art, a_re=wrong), r"layer 1, a_bar: 1 of 12 modes .* \[2 1\]"),
        (with_layer(art, table=layer.table[:-1]), "layer 1, table: shape"),
        (with_layer(art, shift=layer.shift + 16), "layer 1, shift: 6 of 6 values outside"),
        (with_layer(art, fmt=replace(layer.fmt, x=SQ(9, 12))), "layer 1: x must have one format"),
        (with_layer(art, fmt=replace(layer.fmt, gate=SQ(2, 9))), "layer 1: gate"),
        (with_layer(art, fmt=replace(layer.fmt, index=SQ(4, 20))), "layer 1: gate_bias"),
    ]
    for bad, text in cases:
        with pytest.raises(ArtifactError, match=text):
            bad.check()
    with pytest.raises(ArtifactError, match="layer 0: y "):
        gsu = gated.artifact("gsu")
        fmt = replace(gsu.layers[0].fmt, gate_bias=SQ(9, 20))
        replace(gsu, layers=(replace(gsu.layers[0], fmt=fmt), gsu.layers[1])).check()
    gated_artifact.save(art, tmp_path)
    with pytest.raises(ArtifactError, match="real-valued stream"):
        artifact.load(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"network": "other"}))
    with pytest.raises(ArtifactError, match="no Binary S4D or GSU"):
        gated_artifact.load(tmp_path)
    del manifest["mixer"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="manifest.json: 'mixer'; export again"):
        gated_artifact.load(tmp_path)


def test_only_formats_that_do_not_go_together_are_a_mistake_of_the_users(monkeypatch):
    net = gated.network()
    with pytest.raises(ExportError, match="has no room .*; use other widths"):
        gated.quantised(net, QuantConfig(coef_bits=2, g_bits=24, state_bits=2, margin=1e-9))
    monkeypatch.setattr(gated_fit, "_layer", lambda *a: np.zeros(2) + np.zeros(3))
    with pytest.raises(ValueError, match="broadcast"):
        gated.quantised(net)


@pytest.mark.parametrize("change, text", [
    ({"alpha": SQ(16, 0), "x": SQ(4, 2)}, "alpha SQ.*must have at least the fraction bits"),
    ({"g": SQ(1, 30)}, "more fraction bits than a_bar"),
    ({"drive": SQ(8, 0), "y": SQ(2, 14)}, "fewer fraction bits than h"),
    ({"bias": SQ(8, 2)}, "more fraction bits than its sum"), ({"gate": SQ(20, -10)}, "than x")],
    ids=str)
def test_formats_that_do_not_go_together(change, text):
    with pytest.raises(FormatError, match=text):
        replace(gated.artifact().layers[0].fmt, **change)


def test_widths_come_from_the_configuration():
    config = QuantConfig(input_bits=10, factor_bits=13, table_bits=7)
    fmt = gated.artifact("gsu", config).layers[1].fmt
    assert (fmt.u.width, fmt.y.width) == (10, 10)
    assert fmt.n.width <= 13 and fmt.gate.width <= 13 and fmt.index.width == 7
