"""Formats and rules of blocks with samplers, and of those with membranes in their place."""

from golden.base.qformat import SQ, UQ, QFormat
from quant.formats import BIT, SCALE, STREAMS, LayerFormats
from quant.integer import sampling
from quant.integer.curves import FINEST
from sim.fuzzing.blocks import sums_fit
from sim.fuzzing.dice import Dice


def draw(dice: Dice, options: dict) -> LayerFormats:
    """From usual to extreme, most of them allowed."""
    h, a, p = dice.sq(6, 2, 16), SQ(1, dice.between(2, 17)), UQ(1, dice.between(2, 16))
    x, alpha = SQ(dice.between(2, 6), p.f_bits), dice.sq(4, 1, 14)

    def perhaps() -> QFormat | None:
        return dice.pick(None, None, SCALE, dice.sq(4, 1, 14))
    return LayerFormats(
        a_bar=a, h=h, g=dice.sq(4, 1, min(16, a.f_bits + h.f_bits)),
        drive=SQ(dice.between(1, 6), h.f_bits), w=SQ(dice.between(1, 8), 0),
        shift=UQ(dice.between(1, 4), 0), bias=SQ(dice.between(1, 8), p.f_bits),
        addend=SQ(dice.between(1, 8), p.f_bits), p=p, x=x, alpha=alpha,
        beta=dice.sq(6, 1, min(14, alpha.f_bits + x.f_bits)), a=perhaps(), gain=perhaps())


def x(shape, fmt: LayerFormats) -> QFormat:
    """The next probability, or a real-valued stream."""
    return fmt.x if shape.options["residual"] in STREAMS else fmt.p


def enters(shape, fmt: LayerFormats) -> QFormat:
    """A spike."""
    return BIT


def rules(shape, fmt: LayerFormats) -> dict[str, bool]:
    """Of both."""
    curved = [fmt.h] * bool(fmt.a and shape.n) + [fmt.p] * (shape.options["act"] == "gelu")
    two = shape.n > 0 and shape.block == 2
    return {"the sums of both steps of a block have one format":
            not two or sums_fit(shape, fmt.h, BIT, fmt.drive),
            f"a GELU takes up to {FINEST} fraction bits":
            all(f.f_bits <= FINEST for f in curved)}


def sampler_rules(shape, fmt: LayerFormats) -> dict[str, bool]:
    """With samplers."""
    form = shape.options["sampling"]
    bits = fmt.p_in_bits(shape.options["residual"]), fmt.p_out_bits
    return rules(shape, fmt) | {
        "a Sobol sequence does not repeat":
            form != "sobol" or sampling.direction_columns(shape.length) <= shape.random["k"],
        "a systematic sampler's p has 1 to 32 fraction bits":
            form != "systematic" or all(1 <= each <= 32 for each in bits)}


def membrane_rules(shape, fmt: LayerFormats) -> dict[str, bool]:
    """With membranes, which have the format of the states."""
    return rules(shape, fmt) | {
        "a membrane is signed": fmt.h.signed,
        "without states b is no finer than a":
            shape.n > 0 or fmt.drive.f_bits <= (fmt.a or SCALE).f_bits}


def drive(shape, fmt: LayerFormats) -> QFormat:
    """Of what the output spikes are drawn from: ``y + b``, ``a GELU(y) + b`` or ``a s + b``."""
    y = fmt.y(shape.n)
    return (fmt.a or SCALE) * y + fmt.drive if fmt.a or not shape.n else y


def sums(shape, fmt: LayerFormats) -> list[QFormat]:
    """Of states, of what is made of their sum, behind a norm in front, behind the mixer."""
    fused = fmt.fused(shape.H)
    return [fmt.acc, drive(shape, fmt), fmt.alpha * fmt.x + fmt.beta,
            fmt.gain * fused + fused if fmt.gain else fused]


def membrane_sums(shape, fmt: LayerFormats) -> list[QFormat]:
    """The same, and of leaking membranes with what they take."""
    found = sums(shape, fmt)
    return found + [UQ(0, fmt.a_bar.width) * fmt.h + into for into in found[1:3]]
