"""Fixed-point arithmetic on Amaranth values, as in the operations of ``quant.integer``."""

from amaranth import Cat, Const, Mux, Value

from golden.base.qformat import QFormat
from quant.formats import RandomFormat


def round_half_even(raw: Value, shift: int) -> Value:
    """``raw / 2**shift`` to the nearest integer, ties to the even one: one adder."""
    if shift == 0:
        return raw
    raw = _extend(raw, shift + 1)
    odd, half, rest = raw[shift], raw[shift - 1], raw[:shift - 1]
    return (raw >> shift) + (half & (rest.any() | odd))


def round_stochastic(raw: Value, shift: int, r: Value, r_bits: int) -> Value:
    """``raw / 2**shift`` rounded up with the probability of its fraction; shift > r_bits.

    The bits of ``raw`` below the random word's half cannot carry: they do not reach the adder.
    """
    if len(r) != r_bits or shift <= r_bits:
        raise ValueError(f"a random word of {len(r)} bits, {r_bits} expected, rounds away "
                         f"more than {r_bits} bits, not {shift}")
    return ((raw >> shift - r_bits - 1) + Cat(Const(1, 1), r)) >> r_bits + 1


def saturate(raw: Value, dst: QFormat) -> tuple[Value, Value]:
    """(clipped raw in ``dst``'s shape, 1 where it was clipped): no comparator, only high bits."""
    raw = _extend(raw, dst.width + 1)
    negative = raw[-1] if raw.shape().signed else Const(0, 1)
    if dst.signed:
        high = raw[dst.width - 1:]      # all equal to the sign when the value fits
        if not raw.shape().signed:
            high = Cat(high, Const(0, 1))
        over = high.any() & ~high.all()
    else:
        over = raw[dst.width:].any()
    kept = raw[:dst.width]
    kept = kept.as_signed() if dst.signed else kept
    out = Mux(over, Mux(negative, dst.lo, dst.hi), kept)[:dst.width]
    return out.as_signed() if dst.signed else out, over


def clamp_to_one(raw: Value, f_bits: int) -> Value:
    """``raw`` limited to [0, 2**f_bits], the probabilities 0 and 1: only high bits decide."""
    if not raw.shape().signed:
        raw = Cat(raw, Const(0, 1)).as_signed()
    return Mux(raw < 0, 0, Mux(raw[f_bits:-1].any(), 1 << f_bits, raw[:f_bits]))


def fires(p: Value, f_bits: int, r: Value, random: RandomFormat) -> Value:
    """1 where ``p 2**-f_bits > u``; u is (r + 1/2) 2**-k, or r 2**-k un-centred: one comparator."""
    u, u_bits = (Cat(Const(1, 1), r), random.k + 1) if random.centred else (r, random.k)
    f = max(f_bits, u_bits)
    return (p << f - f_bits) > (u << f - u_bits)


def _extend(raw: Value, width: int) -> Value:
    """``raw`` with at least ``width`` bits, same value and signedness."""
    raw = Value.cast(raw)
    if len(raw) >= width:
        return raw
    if not raw.shape().signed:
        return Cat(raw, Const(0, width - len(raw)))
    return Cat(raw, raw[-1].replicate(width - len(raw))).as_signed()
