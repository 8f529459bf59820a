"""Networks of integrate-and-fire neurons: folding, the model on its grids, export, fine-tuning."""

import json

import numpy as np
import pytest
import torch

import golden.model.lif
from golden import checkpoint
from golden.model.columns import Columns
from golden.model.network import chunks
from golden.tasks import make_task
from quant import evaluate, export, finetune
from quant.formats import QuantConfig
from quant.integer import artifact, reference, vectors
from quant.integer.membrane import Integrate
from quant.integer.memory import States
from quant.integer.operation import Tensor
from quant.integer.ops import Clamp, Curve, Limit, Mix, Scale
from quant.lower.passes import fold
from quant.tune.convert import to_artifact, to_program
from quant.tune.fit import ExportError
from quant.tune.qat import QuantNetwork
from quant.tune.ranges import check_seen
from tests.quant import lif
from tests.quant.stream import quantised
from tests.quant.test_qat import as_model, assert_equals_reference, values_of
from tests.quant.test_stream_export import command
from tests.quant.toy import content, op_at, place_of

TOY = "tests.quant.toy:Toy"
NARROW = QuantConfig(state_bits=9, coef_bits=12, g_bits=8, weight_bits=4, p_bits=6, margin=0.6,
                     rounding="half_even")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def golden_membranes(net, v, lengths, monkeypatch) -> tuple[torch.Tensor, list]:
    """Logits, and (spikes, membranes) of every population in order, (H, N) each."""
    found, original = [], golden.model.lif.lif

    def seen(*args):
        found.append(original(*args))
        return found[-1]
    with monkeypatch.context() as patch:
        patch.setattr(golden.model.lif, "lif", seen)
        return net(v, lengths), found


@pytest.mark.parametrize("case", lif.CASES, ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["full", "lengths"])
def test_folded_equals_golden(case, masked, monkeypatch):
    """Every membrane before its reset to 1e-10 in float64, every spike; logits."""
    net = lif.network(seed=1, **lif.CASES[case]).double()
    v = torch.randint(17, (4, 60)) if net.cfg.vocab else torch.rand(4, 60, dtype=torch.float64)
    lengths = torch.tensor([60, 1, 33, 59]) if masked else None
    folded, seen, record = QuantNetwork(fold(net)), [], []

    def observe(place, name, value):
        if name.startswith("v of"):
            seen.append((name, value))
    with torch.no_grad():
        logits, found = golden_membranes(net, v, lengths, monkeypatch)
        got = folded(v, lengths, observe=observe, record=record)
    assert [name for name, _ in seen] == ["v of s_in", "v of s_out"] * len(net.blocks)
    live = torch.ones(4, 60, dtype=bool) if lengths is None else (
        torch.arange(60) < lengths[:, None])
    columns = Columns(v, lengths, chunks(60))
    for k, ((s, u), (name, mine)) in enumerate(zip(found, seen, strict=True)):
        spikes, each, mine = columns.rows(s), columns.rows(u), columns.rows(mine)
        torch.testing.assert_close(mine[live], each[live], rtol=0, atol=1e-10, msg=f"{k} {name}")
        assert torch.equal(record[k // 2][name.split()[-1]][live], spikes[live])
        if not masked and net.cfg.d_model > 1:
            assert 0 < spikes.mean() < 1
    torch.testing.assert_close(got, logits, rtol=0, atol=1e-10)


def test_what_blocks_consist_of():
    """The end is that of a block of samplers; the clamp of a stream's drive stays in front."""
    end = [Mix, Curve, Scale, Scale]
    driven, alone = [Integrate, States, Scale, Integrate], [Integrate, Scale, Integrate]
    for options, wanted in (({"residual": "none"}, [*driven, *end, Clamp]),
                            ({"residual": "none", "drive": "spikes"}, [*alone, *end, Clamp])):
        for ops in fold(lif.network(**options)).blocks:
            assert [type(op) for op in ops] == wanted
    first, second = fold(lif.network(residual="plain")).blocks
    for ops in (first, second):
        assert [type(op) for op in ops[:3]] == [Scale, Clamp, Integrate]
        assert ops[1].wiring == "p_in -> p_in" and isinstance(ops[-1], Limit)
    assert fold(lif.network()).blocks[1][1].layer == 1


QAT = [(case, QuantConfig()) for case in lif.CASES] + [
    (case, NARROW) for case in ("clampfuse", "zero", "plain-alone", "tokens")]


SATURATE = [(case, NARROW) for case in ("clampfuse", "zero", "plain-alone")]


@pytest.mark.parametrize("case, config", QAT, ids=[f"{case}-{c.state_bits}" for case, c in QAT])
def test_recurrence_equals_reference(case, config):
    net, _ = quantised(lif.network(**lif.CASES[case]), config)
    art = to_artifact(net.double(), "toy", 48, 0xACE1, {})
    found = assert_equals_reference(net, art, values_of(art))
    assert found.over["v"].sum() > 0 or (case, config) not in SATURATE
    if art.H > 1:
        assert all(0 < found.values[name].mean() < 1 for name in ("s_in", "s_out"))


@pytest.mark.parametrize("case", ["clampfuse", "plain-alone"])
def test_round_trip(case):
    """The integers' real numbers give the same integers."""
    art = lif.artifact(**lif.CASES[case])
    np.testing.assert_equal(content(to_artifact(as_model(art), "toy", art.length, art.seed, {})),
                            content(art))


@pytest.mark.parametrize("leak", [0, 1, 65535])
def test_leaks_at_the_ends_come_back_and_have_finite_gradients(leak):
    art = lif.artifact(drive="spikes")
    art = art.on_tensors(lambda place, name, t: t if name != "leak" else
                         Tensor(0 * t.raw + leak, t.fmt))
    net = QuantNetwork(to_program(art))
    assert (op_at(net.double().integers(), "0.0").leak.raw == leak).all()
    net(torch.rand(2, 20).double()).square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("options", [{}, {"reset": "zero", "drive": "spikes"},
                                     {"reset_gradient": False}], ids=str)
def test_gradients_are_those_of_the_float_network(options):
    """Of the leak and of what is in front, without formats: the same surrogate, the same reset."""
    net = lif.network(**options).double()
    folded, v = QuantNetwork(fold(net)), torch.rand(4, 40).double()
    for each in (net, folded):
        each(v).square().sum().backward()
    for block, modules in zip(net.blocks, folded.blocks):
        neurons = [module for module in modules if isinstance(module.op, Integrate)]
        for step, module in zip((block.neurons_in, block.neurons_out), neurons, strict=True):
            assert step.log_dt.grad.abs().max() > 0
            torch.testing.assert_close(module.log_decay.grad, step.log_dt.grad)
        offset = next(m for m in modules if isinstance(m.op, Scale) and m.op.makes == "y")
        torch.testing.assert_close(offset.b.grad, block.neurons_out.b.grad)


def made(path, **options):
    net = lif.network(**options)
    checkpoint.save(path, net, make_task(TOY), {})
    return path


@pytest.mark.parametrize("options", [{}, {"drive": "spikes", "residual": "plain"}], ids=str)
def test_commands(options, tmp_path, monkeypatch, capsys):
    """Export, evaluation and fine-tuning, as a user calls them."""
    path, out = made(tmp_path / "net.pt", **options), tmp_path / "a"
    command(monkeypatch, "quant.export", export, "--task", TOY, "--checkpoint", path, "--out", out,
            "-n", 12, "--state-bits", 14)
    printed = capsys.readouterr().out
    assert "accuracy on 12 test sequences" in printed and "v of s_out" in printed
    art = artifact.load(out)
    assert op_at(art, place_of(art, 0, Integrate)).v.width == 14
    assert len(vectors.load(out / "vectors.npz", art).traces)
    assert set(art.info["saturations"]) == {"v"} | ({"x"} if "residual" in options else {"h"})
    assert evaluate.main(["--task", TOY, "--artifact", str(out), "--json",
                          str(tmp_path / "r")]) == 0
    result = json.loads((tmp_path / "r").read_text())
    assert result["accuracies"] == [art.info["accuracy"]["integer"]]
    split = make_task(TOY).load("test")
    labels = [reference.execute(art, v[:n]).label for v, n in zip(split.values, split.lengths)]
    assert result["accuracies"][0] == np.mean(labels == split.labels)
    file = tmp_path / "tuned.pt"
    command(monkeypatch, "quant.finetune", finetune, "--task", TOY, "--checkpoint", path, "--out",
            file, "--steps", 30, "--lr", 0.01, "--threads", 1, "--margin", 6)
    command(monkeypatch, "quant.export", export, "--task", TOY, "--checkpoint", path, "--qat",
            file, "--out", tmp_path / "b", "-n", 12)
    tuned = artifact.load(tmp_path / "b")
    assert tuned.info["checkpoint"]["fine_tuned"] and tuned.info["accuracy"]["integer"] >= 0.9
    leaks = [op_at(a, place_of(a, 1, Integrate, "s_out")).leak.raw for a in (art, tuned)]
    assert (leaks[0] != leaks[1]).any()


def test_formats_that_are_too_small_are_named():
    """theta has its place even where nothing reaches it; what leaves a format is named."""
    net = lif.network(threshold=50.0)
    found, seen = quantised(net)
    for ops in found.program.blocks:
        for op in (op for op in ops if isinstance(op, Integrate)):
            assert op.v.hi >= 1.5 * 50 * 2 ** op.v.f_bits - 1
    small = quantised(lif.network(drive="spikes"), QuantConfig(margin=1.0))
    art = to_artifact(small[0], "toy", 20, 1, {})
    with pytest.raises(ExportError, match=r"layer 0, v of s_(in|out): \d of 6 values leave SQ"):
        check_seen(small[1], art, 9.0)
