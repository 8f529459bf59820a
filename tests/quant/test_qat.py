"""The quantisation-aware model: its recurrence equals the integer reference bit for bit."""

import numpy as np
import pytest
import torch

from golden.base.qformat import SQ, UQ
from golden.tasks.formats import MU_LAW, PCM
from quant.formats import LayerFormats, QuantConfig, RandomFormat
from quant.integer import reference
from quant.integer.membrane import Integrate
from quant.integer.memory import States
from quant.integer.operation import wired
from quant.integer.synthetic import random_artifact
from quant.tune.convert import to_artifact, to_program
from quant.tune.draws import LfsrDraws
from quant.tune.qat import QuantNetwork
from tests.quant import stream


def as_model(art) -> QuantNetwork:
    return QuantNetwork(to_program(art))


def first_difference(got: np.ndarray, expected: np.ndarray, layer: int, tensor: str) -> None:
    """Fail with layer, step, neuron (and mode) of the first difference, expected and got."""
    assert got.shape == expected.shape, f"layer {layer}, {tensor}: {got.shape} {expected.shape}"
    where = np.argwhere(got != expected)
    if len(where):
        at = tuple(where[0])
        pytest.fail(f"layer {layer}, {tensor}: {len(where)} of {got.size} differ, first at step "
                    f"{at[0]}, neuron {at[1:]}: expected {expected[at]}, got {got[at]}")


def assert_equals_reference(net, art, values) -> reference.Record:
    """Every value of every block, states, membranes and logits of a sequence, as raw integers."""
    record, states, membranes, wanted = [], {}, {}, {}

    def after(j, t, block):
        for op, call in block.steps:
            if isinstance(op, Integrate):
                wanted.setdefault((j, op.seen_as("v"), op.v.f_bits), []).append(call.u)

    def observe(place, name, value):
        if name == "h":
            states.setdefault(place, []).append(value[..., 0].numpy().copy())
        elif name.startswith("v of"):
            membranes[place, name] = value.numpy().T

    want = reference.execute(art, values, after=after)

    v = torch.from_numpy(values)[None]
    if not art.vocab:
        v = v.double() * 2.0 ** -art.sample.f_bits
    with torch.no_grad():
        logits = net(v, form="recurrence", draws=LfsrDraws(art), record=record, observe=observe)
    for j, (ops, seen) in enumerate(zip(art.blocks, record, strict=True)):
        for op in (op for op in ops if type(op) is States):
            for part, raw in enumerate((want.h_re, want.h_im)):
                got = np.stack([h[part] for h in states[j]]) * 2.0 ** op.h.f_bits
                first_difference(got, raw[j], j, ("Re h", "Im h")[part])
        formats = wired(ops, {"x": art.x_format})[1]
        assert set(seen) == set(formats) | {"x_in"}
        for name in dict.fromkeys(op.makes for op in ops):
            got = seen[name][0].numpy() * 2.0 ** formats[name].f_bits
            first_difference(got, want.values[name][j], j, name)
    for (j, name, f_bits), u in wanted.items():
        first_difference(membranes[j, name] * 2.0 ** f_bits, np.stack(u), j, name)
    total = logits[0].numpy()[None] * len(values) * 2.0 ** art.decoder_b.fmt.f_bits
    first_difference(np.rint(total), want.logits[None].astype(float), len(art.blocks), "logits")
    np.testing.assert_allclose(total, np.rint(total), rtol=0, atol=1e-3)    # it was a mean
    return want


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
NARROW = {"coef_bits": 12, "g_bits": 8, "state_bits": 9, "weight_bits": 4, "p_bits": 6,
          "table_bits": 6, "margin": 0.6}
STREAMS = {
    "binary": ("binary", {}, QuantConfig()),
    "gsu": ("gsu", {}, QuantConfig()),
    "binary-post": ("binary", {"norm_position": "post"}, QuantConfig()),
    "gsu-post-none": ("gsu", {"norm_position": "post", "residual": "none"}, QuantConfig()),
    "binary-none-tokens": ("binary", {"residual": "none", "vocab": 17}, QuantConfig()),
    "gsu-tokens": ("gsu", {"vocab": 17}, QuantConfig(rounding="half_even")),
    "binary-strict": ("binary", {"fires_at_zero": False}, QuantConfig(rounding="half_even")),
    "narrow": ("binary", {"n_blocks": 3}, QuantConfig(**NARROW, input_bits=7, factor_bits=8)),
    "gsu-narrow": ("gsu", {"ternary_threshold": 0.4},
                   QuantConfig(**NARROW, input_bits=9, factor_bits=9)),
    "gsu-one": ("gsu", {"d_model": 1, "d_state": 2, "n_blocks": 1}, QuantConfig()),
}


def values_of(art, steps: int = 48) -> np.ndarray:
    low, top = (0, art.vocab - 1) if art.vocab else (art.sample.lo, art.sample.hi)
    return np.random.default_rng(5).integers(low, top + 1, steps)


@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
def test_recurrence_equals_reference(options):
    start = random_artifact(seed=len(options), length=48, **options)
    net = as_model(start)
    art = to_artifact(net, "synthetic", start.length, start.seed, {})
    found = assert_equals_reference(net, art, values_of(art))
    if "stress" in options:
        assert sum(over.sum() for over in found.over.values()) > 0
    if art.H > 1:
        assert all(0 < found.values[name].mean() < 1 for name in ("s_in", "s_out"))


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_recurrence_of_a_stream_equals_reference(case):
    kind, options, config = STREAMS[case]
    net, _ = stream.quantised(stream.network(kind, **options), config)
    art = to_artifact(net.double(), "toy", 48, 0xACE1, {})
    found = assert_equals_reference(net, art, values_of(art))
    over = sum(each.sum() for name, each in found.over.items())
    assert (over > 0) == (config.margin < 1)
    if art.H > 1:
        assert all(0 < np.mean(s != 0) < 1 for s in found.values["s_out"])
        assert all(len(np.unique(each)) > 4 for name in ("y", "n", "gate", "x")
                   for each in found.values[name])


def test_other_seed_other_spikes():
    """The comparison above can see the draws: another seed gives another run."""
    art = random_artifact(seed=3)
    values = np.arange(48) % 256
    a, b = (reference.run(art, values, seed) for seed in (art.seed, art.seed + 1))
    assert (a.s_in != b.s_in).any()
