"""The quantisation-aware model: its recurrence equals the integer reference bit for bit."""

import dataclasses

import numpy as np
import pytest
import torch

from golden.model.ssm import chunked_conv
from quant.integer import reference
from quant.tune.convert import formats_of, to_artifact, to_folded
from golden.base.qformat import SQ, UQ
from golden.tasks.formats import MU_LAW, PCM
from quant.formats import LayerFormats, RandomFormat
from quant.tune.draws import LfsrDraws
from quant.tune.qat import QuantNetwork
from quant.integer.sampling import FORMS
from quant.integer.synthetic import random_artifact


def as_model(art) -> QuantNetwork:
    return QuantNetwork(to_folded(art), formats_of(art))


def first_difference(got: np.ndarray, expected: np.ndarray, layer: int, tensor: str) -> None:
    """Fail with layer, step, neuron (and mode) of the first difference, expected and got."""
    assert got.shape == expected.shape, f"layer {layer}, {tensor}: {got.shape} {expected.shape}"
    where = np.argwhere(got != expected)
    if len(where):
        at = tuple(where[0])
        pytest.fail(f"layer {layer}, {tensor}: {len(where)} of {got.size} differ, first at step "
                    f"{at[0]}, neuron {at[1:]}: expected {expected[at]}, got {got[at]}")


def traced_reference(art, values, monkeypatch):
    """The reference's trace, with the states after every step: per layer (L, H, n) re, im, p."""
    states, compared = [], []
    update, probability = reference.state_update, reference.output_probability

    def keep_state(*args):
        out = update(*args)
        states.append(out[:2])
        return out

    def keep_probability(*args):
        compared.append(probability(*args))
        return compared[-1]

    monkeypatch.setattr(reference, "state_update", keep_state)
    monkeypatch.setattr(reference, "output_probability", keep_probability)
    trace = reference.run(art, values)
    N = len(art.blocks)
    return trace, [[np.array([s[part] for s in states[j::N]]) for part in (0, 1)]
                   + [np.array(compared[j::N])] for j in range(N)]


def assert_equals_reference(net, art, values, monkeypatch):
    """Spikes, p, states and logits of one sequence, layer by layer."""
    trace, expected = traced_reference(art, values, monkeypatch)
    record, states = [], {}

    def observe(layer, step, re, im):
        states.setdefault(layer, []).append((re[..., 0].clone(), im[..., 0].clone()))

    v = torch.from_numpy(values)[None]
    if not art.vocab:
        v = v.double() * 2.0 ** -art.sample.f_bits
    draws = LfsrDraws(art)
    with torch.no_grad():
        logits = net(v, form="recurrence", draws=draws, record=record, observe=observe)
    for j, (layer, seen) in enumerate(zip(art.spiking.layers, record[:-1], strict=True)):
        one = 2.0 ** layer.fmt.h.f_bits
        first_difference(seen["s_in"][0].numpy(), trace.s_in[j], j, "input spikes")
        for part, name in enumerate(("Re h", "Im h")):
            got = torch.stack([s[part] for s in states[j]]).numpy() * one
            first_difference(got, expected[j][part], j, name)
        first_difference(seen["p"][0].numpy() * 2.0 ** layer.fmt.p_out_bits, expected[j][2], j,
                         "p")
        first_difference(seen["s_out"][0].numpy(), trace.s_out[j], j, "output spikes")
    f = art.spiking.edge.dec_b.f_bits
    first_difference(logits[0].numpy()[None], trace.logits[None] * 2.0 ** -f / len(values),
                     len(art.blocks), "logits")
    return trace


CASES = {
    "clampfuse": {},
    "none": {"residual": "none"},
    "plain": {"residual": "plain"},
    "identity": {"act": "identity"},
    "half_even": {"rounding": "half_even"},
    "tokens": {"vocab": 6},
    "tokens-plain": {"vocab": 6, "residual": "plain"},
    "stress": {"stress": 0.2, "n_layers": 3},
    "stress-plain": {"stress": 0.3, "residual": "plain"},
    "one": {"H": 1, "n": 1, "n_layers": 1, "n_classes": 1},
    "narrow": {"fmt": LayerFormats(h=SQ(3, 5), drive=SQ(3, 5), g=SQ(2, 6), w=SQ(4, 0),
                                   p=UQ(1, 6), bias=SQ(6, 6), addend=SQ(6, 6), x=SQ(6, 6))},
    "signed": {"sample": MU_LAW, "stress": 0.2},
    "signed-plain": {"sample": PCM, "stress": 0.2, "residual": "plain"},
    "un-centred": {"random": RandomFormat(k=6, centred=False)},
    **{f"{sampling}-{residual}": {"sampling": sampling, "residual": residual}
       for sampling in ("sobol", "systematic") for residual in ("none", "clampfuse", "plain")},
    "systematic-stress": {"sampling": "systematic", "stress": 0.2, "n_layers": 3},
    **{f"gelu-{residual}": {"act": "gelu", "gelu_out": True, "residual": residual,
                            "gain": residual != "replace"}
       for residual in ("none", "clampfuse", "plain", "replace")},
    "gelu-stress": {"act": "gelu", "gelu_out": True, "residual": "plain", "gain": True,
                    "stress": 0.2, "vocab": 6},
    "gelu-narrow": {"act": "gelu", "sampling": "systematic",
                    "fmt": LayerFormats(h=SQ(3, 5), drive=SQ(3, 5), g=SQ(2, 6), w=SQ(4, 0),
                                        p=UQ(1, 6), bias=SQ(6, 6), addend=SQ(6, 6), x=SQ(6, 6),
                                        a=SQ(2, 3), gain=SQ(2, 5))},
    "relu-post": {"residual": "plain", "gain": True},
    "replace": {"residual": "replace"},
    "systematic-short-words": {"sampling": "systematic", "random": RandomFormat(k=6)},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
def test_recurrence_equals_reference(options, monkeypatch):
    start = random_artifact(seed=len(options), length=48, **options)
    net = as_model(start)
    art = to_artifact(net, "synthetic", start.length, start.seed, {})
    rng = np.random.default_rng(5)
    low, top = (0, art.vocab - 1) if art.vocab else (art.sample.lo, art.sample.hi)
    trace = assert_equals_reference(net, art, rng.integers(low, top + 1, 48), monkeypatch)
    if "stress" in options:
        assert trace.saturations.sum() > 0
    if art.H > 1:
        assert 0 < trace.s_in.mean() < 1 and 0 < trace.s_out.mean() < 1


def test_other_seed_other_spikes():
    """The comparison above can see the draws: another seed gives another run."""
    art = random_artifact(seed=3)
    values = np.arange(48) % 256
    a, b = (reference.run(art, values, seed) for seed in (art.seed, art.seed + 1))
    assert (a.s_in != b.s_in).any()


def test_artifact_round_trip():
    """Model, artifact, model, artifact: nothing moves the second time."""
    net = as_model(random_artifact(seed=8, n_layers=3))
    one = to_artifact(net, "synthetic", 64, 1, {})
    two = to_artifact(as_model(one), "synthetic", 64, 1, {})
    for j, (a, b) in enumerate(zip(one.layers, two.layers, strict=True)):
        for field in dataclasses.fields(a):
            if field.name not in ("fmt", "w", "shift"):     # a row may find a finer scale
                np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name),
                                              f"layer {j}, {field.name}")
        np.testing.assert_array_equal(a.w << a.shift[:, None], b.w << b.shift[:, None])
    for name in ("enc_w", "enc_b", "dec_w", "dec_b"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), name)


def test_forms_agree_without_state_rounding():
    """Convolution and recurrence of one folded layer on the same spikes, in float64, to 1e-9."""
    net = QuantNetwork(to_folded(random_artifact(seed=2, H=6, n=3)))
    s = torch.randint(0, 2, (6, 72, 5)).double()                             # (H, L, B)
    for j, block in enumerate(net.blocks):
        for C, M in ((72, 1), (12, 6), (1, 72)):
            chunks = s.reshape(6, M, C, 5).transpose(1, 2).contiguous()
            y = chunked_conv(chunks, *block.discrete()).transpose(1, 2).reshape(6, 72, 5)
            torch.testing.assert_close(y, net.recur(s, j, None, None).detach(), rtol=0, atol=1e-9)


def test_lengths_leave_out_the_rest():
    """A sequence's logits do not depend on what lies behind its end, in either form."""
    art = random_artifact(seed=2)
    net = as_model(art)
    v = torch.randint(0, 256, (3, 40)).double() / 256
    lengths = torch.tensor([40, 5, 17])
    noisy = torch.where(torch.arange(40) < lengths[:, None], v, torch.rand(3, 40).double())
    draws = LfsrDraws(art)
    with torch.no_grad():
        one, two = (net(x, lengths, form="recurrence", draws=draws) for x in (v, noisy))
        alone = net(v[1:2, :5], form="recurrence", draws=draws)
        assert torch.equal(one, two) and torch.equal(one[1:2], alone)
        torch.manual_seed(1)
        one = net(v, lengths)
        torch.manual_seed(1)
        assert torch.equal(one, net(noisy, lengths))


@pytest.mark.parametrize("sampling", FORMS)
@pytest.mark.parametrize("form", ["convolution", "recurrence"])
def test_every_parameter_learns(form, sampling):
    """Straight-through: a gradient reaches every trainable tensor."""
    art = random_artifact(seed=4, H=8, n=2, sampling=sampling)
    net = as_model(art)
    draws = LfsrDraws(art, 5) if form == "recurrence" else None
    net(torch.rand(2, 30, dtype=torch.float64), form=form, draws=draws).square().sum().backward()
    for name, p in net.named_parameters():
        if p.numel():
            assert p.grad is not None and p.grad.abs().sum() > 0, name


@pytest.mark.parametrize("sampling", FORMS)
def test_the_convolution_draws_in_the_artifacts_form(sampling):
    """One block whose p is 0.3 all the time: spikes per sequence scatter as the form lets them."""
    art = random_artifact(seed=2, H=16, n_layers=1, sampling=sampling, residual="none")
    folded = to_folded(art)
    folded = dataclasses.replace(folded, enc_w=0 * folded.enc_w, enc_b=0 * folded.enc_b + 0.3)
    record = []
    torch.manual_seed(0)
    with torch.no_grad():
        QuantNetwork(folded).float()(torch.zeros(50, 60), record=record)
    counts = record[0]["s_in"].sum(1)                                       # (B, H)
    assert abs(counts.mean() - 18) < 0.5
    low, high = {"bernoulli": (3.2, 3.9), "sobol": (0.2, 1.5), "systematic": (0, 0.1)}[sampling]
    assert low <= counts.std() <= high


def test_unknown_form():
    net = as_model(random_artifact())
    with pytest.raises(ValueError, match="draws are for the recurrence"):
        net(torch.rand(1, 4, dtype=torch.float64), draws=LfsrDraws(random_artifact()))
    with pytest.raises(ValueError, match="convolution or recurrence, not 'fft'"):
        net(torch.rand(1, 4, dtype=torch.float64), form="fft")
