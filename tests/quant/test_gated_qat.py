"""Binary S4D and GSU: the quantisation-aware recurrence equals the reference bit for bit."""

import dataclasses

import numpy as np
import pytest
import torch

from quant import gated_reference
from quant.tune.draws import LfsrDraws
from quant.formats import QuantConfig
from quant.gated_convert import to_artifact, to_folded
from quant.gated_fold import fold
from quant.gated_qat import GatedQuantNetwork
from tests.quant import gated

CASES = {
    "binary": ("binary", {}, QuantConfig()),
    "gsu": ("gsu", {}, QuantConfig()),
    "binary-post": ("binary", {"norm_position": "post"}, QuantConfig()),
    "gsu-post-none": ("gsu", {"norm_position": "post", "residual": "none"}, QuantConfig()),
    "binary-none-tokens": ("binary", {"residual": "none", "vocab": 17}, QuantConfig()),
    "gsu-tokens": ("gsu", {"vocab": 17}, QuantConfig(rounding="half_even")),
    "binary-strict": ("binary", {"fires_at_zero": False}, QuantConfig(rounding="half_even")),
    "narrow": ("binary", {"n_blocks": 3},
               QuantConfig(coef_bits=12, g_bits=8, state_bits=9, weight_bits=4, p_bits=6,
                           input_bits=7, factor_bits=8, table_bits=6, margin=0.6)),
    "gsu-narrow": ("gsu", {"ternary_threshold": 0.4},
                   QuantConfig(coef_bits=12, g_bits=8, state_bits=9, weight_bits=4, p_bits=6,
                               input_bits=9, factor_bits=9, table_bits=6, margin=0.6)),
    "gsu-one": ("gsu", {"d_model": 1, "d_state": 2, "n_blocks": 1}, QuantConfig()),
}


def first_difference(got: np.ndarray, expected: np.ndarray, layer: int, tensor: str) -> None:
    """Fail with layer, step, neuron (and mode) of the first difference, expected and got."""
    assert got.shape == expected.shape, f"layer {layer}, {tensor}: {got.shape} {expected.shape}"
    where = np.argwhere(got != expected)
    if len(where):
        at = tuple(where[0])
        pytest.fail(f"layer {layer}, {tensor}: {len(where)} of {got.size} differ, first at step "
                    f"{at[0]}, neuron {at[1:]}: expected {expected[at]}, got {got[at]}")


def assert_equals_reference(net, art, values):
    """All tensors, states and logits of one sequence, layer by layer, as raw integers."""
    trace = gated_reference.run(art, values)
    record, states = [], {}

    def observe(layer, _step, re, im):
        states.setdefault(layer, []).append((re[..., 0].clone(), im[..., 0].clone()))

    v = torch.from_numpy(values)[None]
    if not art.vocab:
        v = v.double() * 2.0 ** -art.sample.f_bits
    with torch.no_grad():
        logits = net(v, form="recurrence", draws=LfsrDraws(art), record=record, observe=observe)
    for j, layer in enumerate(art.spiking.layers):
        f = layer.fmt
        bits = {"u": f.u.f_bits, "y": f.y_bits, "s": 0, "n": f.n.f_bits, "gate": f.gate.f_bits,
                "x": f.x.f_bits}
        for part, name in enumerate(("h_re", "h_im")):
            got = torch.stack([s[part] for s in states[j]]).numpy() * 2.0 ** f.h.f_bits
            first_difference(got, getattr(trace, name)[j], j, name)
        for name, f_bits in bits.items():
            got = record[j][name][0].numpy() * 2.0 ** f_bits
            first_difference(got, getattr(trace, name)[j], j, name)
    f = art.spiking.edge.dec_b.f_bits
    first_difference(logits[0].numpy()[None], trace.logits[None] * 2.0 ** -f / len(values),
                     len(art.blocks), "logits")
    return trace


@pytest.mark.parametrize("case", CASES, ids=str)
def test_recurrence_equals_reference(case):
    kind, options, config = CASES[case]
    net, _ = gated.quantised(gated.network(kind, **options), config)
    art = to_artifact(net.double(), "toy", 48, 0xACE1, {})
    top = art.vocab - 1 if art.vocab else art.sample.hi
    values = np.random.default_rng(5).integers(0, top + 1, 48)
    trace = assert_equals_reference(net, art, values)
    assert (trace.saturations.sum() > 0) == (config.margin < 1)
    if art.H > 1:
        assert all(0 < np.mean(s != 0) < 1 for s in trace.s)
        assert all(len(np.unique(x)) > 4
                   for x in (*trace.u, *trace.y, *trace.n, *trace.gate, *trace.x))


@pytest.mark.parametrize("kind", gated.KINDS)
def test_integers_and_back(kind):
    """The integers' real numbers give the same integers, and the same network."""
    art = gated.artifact(kind)
    again = to_artifact(GatedQuantNetwork(to_folded(art), art.formats), "toy", art.length,
                        art.seed, {})
    for a, b in zip((art, *art.spiking.layers), (again, *again.layers)):
        for field in dataclasses.fields(a):
            x, y = getattr(a, field.name), getattr(b, field.name)
            if isinstance(x, np.ndarray):
                np.testing.assert_array_equal(x, y, err_msg=field.name)


@pytest.mark.parametrize("options", [{}, {"norm_position": "post"}, {"residual": "none"},
                                     {"vocab": 17}], ids=str)
@pytest.mark.parametrize("kind", gated.KINDS)
def test_without_formats_it_is_the_golden_network(kind, options):
    golden = gated.network(kind, **options).double()
    net = GatedQuantNetwork(fold(golden))
    generator = torch.Generator().manual_seed(1)
    v = (torch.randint(0, 17, (3, 90), generator=generator) if golden.cfg.vocab
         else torch.rand(3, 90, generator=generator).double())
    lengths = torch.tensor([90, 1, 57])
    expected = golden(v, lengths)
    for form in ("convolution", "recurrence"):
        torch.testing.assert_close(net(v, lengths, form), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", gated.KINDS)
def test_convolution_trains_every_parameter(kind):
    net, _ = gated.quantised(gated.network(kind))
    v = torch.rand(4, 20).double()
    net.train()(v).square().sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any(), name


@pytest.mark.parametrize("kind, options", [
    ("gsu", {}), ("binary", {}), ("binary", {"surrogate": "rectangle", "surrogate_width": 0.4}),
    ("binary", {"surrogate": "arctan", "surrogate_width": 2.5}),
    ("binary", {"surrogate": "sigmoid", "fires_at_zero": False})], ids=str)
def test_gradients_are_the_golden_networks(kind, options):
    golden = gated.network(kind, **options).double()
    net = GatedQuantNetwork(fold(golden))
    v = torch.rand(3, 40, generator=torch.Generator().manual_seed(2)).double()
    slopes = []
    for model in (golden, net):
        leaf = v.clone().requires_grad_()
        model(leaf).square().sum().backward()
        slopes.append(leaf.grad)
    assert slopes[0].any()
    torch.testing.assert_close(slopes[1], slopes[0], rtol=0, atol=1e-9)
