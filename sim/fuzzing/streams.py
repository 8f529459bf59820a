"""Formats and rules of blocks that pass a real-valued stream: Binary S4D and the GSU."""

from golden.base.qformat import SQ, UQ, QFormat
from quant.formats import BIT, TERNARY, THRESHOLD, StreamFormats
from sim.fuzzing.blocks import sums_fit
from sim.fuzzing.dice import Dice

TABLE_BITS = 10     # of a table's index, at most, as exports have at most 12


def draw(dice: Dice, options: dict) -> StreamFormats:
    """From usual to extreme, most of them allowed."""
    h, a = dice.sq(6, 2, 16), SQ(1, dice.between(2, 17))
    finest = min(14, a.f_bits + h.f_bits - 1)
    x, alpha = dice.sq(6, 1, finest), dice.sq(4, 1, 14)
    u = dice.sq(6, 1, min(finest, alpha.f_bits + x.f_bits))
    into = u if options["norm_position"] == "pre" else x
    d = dice.sq(4, max(1, h.f_bits - into.f_bits), 16)
    bias, y = dice.sq(8, 2, 16), dice.sq(6, 1, min(16, d.f_bits + into.f_bits))
    index = dice.sq(5, 1, min(TABLE_BITS - 5, bias.f_bits))
    gelu_index = dice.uq(0, 3, 1, min(TABLE_BITS - 3, y.f_bits))
    sigmoid = dice.between(1, 14)
    return StreamFormats(
        a_bar=a, g=dice.sq(4, 1, min(16, a.f_bits + h.f_bits - into.f_bits)), h=h, d=d, x=x,
        alpha=alpha, beta=dice.sq(6, 1, min(14, alpha.f_bits + x.f_bits)), u=u,
        w=SQ(dice.between(1, 8), 0), shift=UQ(dice.between(1, 5), 0), bias=bias,
        n=dice.sq(6, 1, bias.f_bits), index=index,
        sigmoid=dice.pick(UQ(1, sigmoid), UQ(1, sigmoid), UQ(0, sigmoid), SQ(2, sigmoid)),
        y=y, gelu_index=gelu_index, gelu=UQ(0, dice.between(1, y.f_bits)),
        gate_bias=SQ(dice.between(1, 6), y.f_bits), gate=dice.sq(6, 1, y.f_bits))


def x(shape, fmt: StreamFormats) -> QFormat:
    """The stream."""
    return fmt.x


def enters(shape, fmt: StreamFormats) -> QFormat:
    """The stream, behind a norm in front."""
    return fmt.u if shape.options["norm_position"] == "pre" else fmt.x


def gate(shape, fmt: StreamFormats) -> QFormat:
    """The product's second factor."""
    return fmt.sigmoid if shape.kind == "glu" else fmt.gate


def curved(shape) -> bool:
    """Whether there is a GELU."""
    return shape.kind == "gsu" or shape.options["neuron"] == "ternary"


def rules(shape, fmt: StreamFormats) -> dict[str, bool]:
    """Of both; what is made of a sum is no finer than it."""
    u = enters(shape, fmt)
    return {
        "d u is as fine as h": fmt.d.f_bits + u.f_bits >= fmt.h.f_bits,
        "the sums of both steps of a block have one format": shape.block == 1 or sums_fit(
            shape, fmt.h, u, fmt.direct(shape.n)),
        "a norm is as fine as its offset and u": fmt.alpha.f_bits + fmt.x.f_bits >= max(
            fmt.beta.f_bits, u.f_bits),
        "the bias is as fine as n and the index": fmt.bias.f_bits >= max(
            fmt.n.f_bits, fmt.index.f_bits if shape.kind == "glu" else 0),
        "what a GELU takes is no finer than y, and as fine as its table": not curved(shape) or (
            fmt.d.f_bits + u.f_bits >= fmt.y.f_bits >= max(fmt.gelu_index.f_bits,
                                                           fmt.gelu.f_bits)),
        "a GELU's index is of a magnitude": not curved(shape) or not fmt.gelu_index.signed,
        "the gate's bias is as fine as y, and the gate no finer": shape.kind == "glu" or (
            fmt.gate_bias.f_bits == fmt.y.f_bits >= fmt.gate.f_bits),
        "the gate's product is as fine as the stream": shape.options["residual"] == "plain" or (
            fmt.n.f_bits + gate(shape, fmt).f_bits >= fmt.x.f_bits)}


def sums(shape, fmt: StreamFormats) -> list[QFormat]:
    """Of states, norm, mixers, product, and of the threshold."""
    u, s = enters(shape, fmt), BIT if shape.options["neuron"] == "step" else TERNARY
    mixed = (fmt.w * s).total(shape.H)
    up = QFormat(max(1, mixed.width + fmt.shift.hi - fmt.bias.f_bits), fmt.bias.f_bits, True)
    found = [(fmt.a_bar * fmt.h).total(2) + fmt.g * u, fmt.h.total(shape.n) + fmt.d * u,
             fmt.alpha * fmt.x + fmt.beta, up + fmt.bias, fmt.n * gate(shape, fmt) + fmt.x]
    return found + [(TERNARY * fmt.y).total(shape.H) + fmt.gate_bias,
                    fmt.y * THRESHOLD] * curved(shape)
