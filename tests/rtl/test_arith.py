"""The arithmetic in hardware is the reference's, exhaustively on small formats."""

import itertools

import numpy as np
import pytest
from amaranth import Module, Shape, Signal, signed, unsigned
from amaranth.sim import Simulator

from quant.integer import sampling
from golden.base.qformat import SQ, UQ, QFormat
from quant.formats import RandomFormat
from quant.integer.memory import round_stochastic
from quant.integer.operation import round_half_even
from quant.integer.ops import Limit
from rtl.parts import arith
from rtl.layer.phase_sampler import start_phase


def values(shape: Shape) -> range:
    low = -(1 << shape.width - 1) if shape.signed else 0
    return range(low, low + (1 << shape.width))


def compare(shapes: dict[str, Shape], cases: dict):
    """Drive every combination of operands; ``cases`` maps a name to (circuit, model)."""
    m = Module()
    operands = {name: Signal(shape, name=name) for name, shape in shapes.items()}
    built = {}
    for name, (circuit, model) in cases.items():
        value = circuit(**operands)
        out = Signal(value.shape())
        m.d.comb += out.eq(value)
        built[name] = out, model

    async def bench(ctx):
        for given in itertools.product(*map(values, shapes.values())):
            given = dict(zip(shapes, given))
            for name, raw in given.items():
                ctx.set(operands[name], raw)
            for name, (out, model) in built.items():
                assert ctx.get(out) == int(model(**given)), f"{name} of {given}"

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()


def limit(raw, src: QFormat, dst: QFormat):
    """(raw integers in ``dst``, where they were clipped)."""
    return Limit("x -> x", dst).apply((src,), raw)


@pytest.mark.parametrize("shape", [signed(6), unsigned(5), signed(1)], ids=str)
def test_round_half_even(shape):
    compare({"raw": shape}, {
        shift: (lambda raw, s=shift: arith.round_half_even(raw, s),
                lambda raw, s=shift: round_half_even(raw, s)) for shift in range(9)})


@pytest.mark.parametrize("r_bits", [1, 2, 3])
def test_round_stochastic(r_bits):
    compare({"raw": signed(6), "r": unsigned(r_bits)}, {
        shift: (lambda raw, r, s=shift: arith.round_stochastic(raw, s, r, r_bits),
                lambda raw, r, s=shift: round_stochastic(raw, s, r, r_bits))
        for shift in range(r_bits + 1, 8)})


@pytest.mark.parametrize("r_bits, shift", [(4, 6), (3, 3)])
def test_round_stochastic_refuses_wrong_widths(r_bits, shift):
    with pytest.raises(ValueError, match="random word of 3 bits"):
        arith.round_stochastic(Signal(8), shift, Signal(3), r_bits)


FORMATS = [SQ(1, 0), SQ(1, 2), SQ(3, 3), SQ(4, 5), UQ(1, 0), UQ(1, 2), UQ(2, 3), UQ(4, 4)]


@pytest.mark.parametrize("shape", [signed(6), unsigned(6), signed(3)], ids=str)
def test_saturate(shape):
    cases = {}
    for dst in FORMATS:
        cases[f"value {dst}"] = (lambda raw, q=dst: arith.saturate(raw, q)[0],
                                 lambda raw, q=dst: limit(raw, q, q)[0])
        cases[f"overflow {dst}"] = (lambda raw, q=dst: arith.saturate(raw, q)[1],
                                    lambda raw, q=dst: limit(raw, q, q)[1])
    compare({"raw": shape}, cases)


@pytest.mark.parametrize("src, dst", [(SQ(4, 4), SQ(2, 1)), (SQ(4, 4), SQ(4, 3)),
                                      (SQ(3, 2), SQ(2, 2)), (UQ(4, 4), UQ(2, 2)),
                                      (SQ(4, 4), UQ(1, 2))], ids=str)
def test_rounding_and_then_saturating(src, dst):
    raw = np.arange(src.lo, src.hi + 1)
    exact = np.clip(np.rint(raw / 2.0 ** (src.f_bits - dst.f_bits)), dst.lo, dst.hi)
    np.testing.assert_array_equal(limit(raw, src, dst)[0], exact)
    compare({"raw": Shape(src.width, src.signed)}, {
        "both": (lambda raw: arith.saturate(
            arith.round_half_even(raw, src.f_bits - dst.f_bits), dst)[0],
                 lambda raw: limit(raw, src, dst)[0])})


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("shape", [signed(5), unsigned(4)], ids=str)
def test_fires(shape, centred):
    random = RandomFormat(k=3, centred=centred)
    compare({"p": shape, "r": unsigned(3)}, {
        f_bits: (lambda p, r, f=f_bits: arith.fires(p, f, r, random),
                 lambda p, r, f=f_bits: sampling.fires(np.int64(p), f, r, random))
        for f_bits in range(6)})


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("k", [3, 4])
def test_start_phase(k, centred):
    random = RandomFormat(k=k, centred=centred)
    compare({"r": unsigned(k)}, {
        f_bits: (lambda r, f=f_bits: start_phase(r, f, random),
                 lambda r, f=f_bits: sampling.start_phase(np.int64(r), f, random))
        for f_bits in range(1, 8)})
