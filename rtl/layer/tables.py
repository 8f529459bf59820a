"""Curves by tables: GELU between its knots, and the tables of an artifact."""

from dataclasses import replace

from amaranth import Mux
from amaranth.lib import memory

from quant.integer import curves
from rtl.layer.flow import Flow, Value, rounded
from rtl.parts.memory import pack_rows, rows_built


def lookup(flow: Flow, at: Value, lo: int, hi: int, f_bits: int, part) -> Value:
    """The entry at the address ``at``, a cycle later; ``part(g)`` makes a memory of value g.

    It has ``addr``, ``en`` and ``data``.
    """
    at, = flow.together(at)
    out = Value(lo, hi, f_bits, at.time + 1)
    if flow.host is None:
        return out
    bits = []
    for g, address in enumerate(at.bits):
        found = part(g)
        flow.host.m.d.comb += [found.addr.eq(address), found.en.eq(flow.host.pipe.en)]
        bits.append(found.data)
    return replace(out, bits=tuple(bits))


def magnitude(flow: Flow, y: Value) -> Value:
    """``|y|``."""
    y, = flow.together(y)
    return flow.made(lambda y: Mux(y < 0, -y, y), 0, y.top, y.f_bits, y, what="magnitude")


def positive_less(flow: Flow, y: Value, entry: Value) -> Value:
    """``max(y, 0) - entry``, with the fraction bits of y."""
    y, entry = flow.together(y, entry)
    up = y.f_bits - entry.f_bits
    return flow.made(lambda y, t: Mux(y < 0, 0, y) - (t << up), -(entry.hi << up), max(y.hi, 0),
                     y.f_bits, y, entry, what="gelu")


def gelu(flow: Flow, y: Value, key: str) -> Value:
    """``quant.integer.curves.gelu``: ``max(y, 0) - T(|y|)``, T a straight line between two knots.

    A table of (knot, step to the next) and a product with what is left of \\|y\\|, of as many bits
    as a step has.
    """
    y = flow.plain(y)
    f = y.f_bits
    fine = max(0, f - curves.KNOTS)         # bits of |y| below a knot
    K, T = curves.knots(f), curves.table(f)
    count = max(1, -(-(len(T) - 1) >> fine))        # intervals in which T is not nothing
    v, = flow.together(magnitude(flow, y))
    most = (count << fine) - 1
    near = flow.made(lambda v: v[fine:] if fine else v, 0, max(1, min(v.hi, most) >> fine), 0, v,
                     what="knot") if v.hi <= most else flow.made(
        lambda v: Mux(v > most, count, v[fine:]), 0, count, 0, v, what="knot")
    steps = (K[1:] - K[:-1])[:count]
    top = int(K.max())
    low, high = int(steps.min()), int(steps.max())
    width, bits = top.bit_length(), max(high.bit_length(), (-low - 1).bit_length()) + 1
    rows = pack_rows([(K[:count].copy(), width), (steps, bits)]) + (0,)     # the last: beyond
    depth = rows_built(len(rows))

    flow.memories += [("tables", depth, width + bits)] * flow.spec.geo.values

    class Rom:      # its content is the format's, not the network's: nobody writes it
        def __init__(self, g):
            made = memory.Memory(shape=width + bits, depth=depth, init=list(rows))
            flow.submodule(f"{key}_knots{g}", made)
            port = made.read_port()
            self.addr, self.en, self.data = port.addr, port.en, port.data

    row = lookup(flow, near, 0, (1 << width + bits) - 1, 0, Rom)
    knot = flow.made(lambda r: r[:width], 0, top, f + curves.EXTRA + fine, row, what="at")
    knot = replace(knot, held=True)
    line = replace(knot, lo=0, hi=top << fine)
    if fine:
        slope = replace(flow.made(lambda r: r[width:].as_signed(), low, high, 0, row,
                                  what="slope"), held=True)
        rest = flow.at(flow.made(lambda v: v[:fine], 0, (1 << fine) - 1, f + curves.EXTRA + fine,
                                 v, what="rest"), row.time)
        part = flow.product(rest, slope)
        knot, = [flow.at(knot, part.time)]
        line = flow.made(lambda k, p: (k << fine) + p, 0, top << fine, part.f_bits, knot, part,
                         what="line")
    line, = flow.together(line)
    t = rounded(flow, replace(line, f_bits=f + curves.EXTRA + fine), f)
    return positive_less(flow, y, t)
