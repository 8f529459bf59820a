"""The drive of the states, with spikes and with values: ``y = sum Re h + d u + b``."""

from dataclasses import replace
from math import isqrt

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import data
from amaranth.sim import Simulator

from golden.base.qformat import SQ
from quant.formats import LayerFormats, StreamFormats
from quant.integer.memory import States
from quant.integer.operation import Tensor
from quant.integer.ops import Scale
from quant.integer.synthetic import random_artifact
from rtl.layer import chains, coefficients
from rtl.layer.drives import BlockDrives, Drives
from rtl.parts.config import HardwareConfig
from rtl.parts.pipeline import Pipeline
from rtl.parts.streams import shape_of
from rtl.plan import plan

DRIVES = {1: Drives, 2: BlockDrives}
SHAPE = dict(n_layers=1, H=4, n=4, length=16)
# name: options, lanes, whether an offset is put behind the states
CASES = {
    "spikes": (dict(), 2, False),
    "spikes, two a word": (dict(fmt=LayerFormats(drive=SQ(5, 12), h=SQ(3, 12))), 8, False),
    "values": (dict(kind="glu"), 1, False),
    "values, two a word": (dict(kind="gsu"), 8, False),
    "x itself": (dict(kind="glu", norm_position="post"), 4, False),
    "values, offset": (dict(kind="glu"), 2, True),
    "fine values, offset": (dict(kind="gsu", fmt=StreamFormats(u=SQ(2, 14), d=SQ(2, 14))), 4, True),
    "coarse values": (dict(kind="glu", fmt=StreamFormats(u=SQ(8, 0), d=SQ(2, 14))), 2, False),
}


def spec_of(case: str, block: int = 1):
    """A layer of each case."""
    options, lanes, offset = CASES[case]
    art = random_artifact(1, **options, **SHAPE, block=block)
    if offset:
        b = Tensor(np.arange(-2, 2) << 7, SQ(4, 7))
        ops = [part for op in art.blocks[0] for part in
               ([op, Scale("y -> y", None, b)] if isinstance(op, States) else [op])]
        art = replace(art, blocks=(tuple(ops),)).check()
    return plan(art, HardwareConfig(lanes)).layers[0]


def words_of(spec, count: int) -> list[dict]:
    """u, d and b of a word's G neurons and the sums of its F cycles: every end, then random.

    Of two steps u (2 G,), and ``ahead`` (G,), what the first one's y has of the states.
    """
    geo, op, rng = spec.geo, spec.cut.states.op, np.random.default_rng(2)
    (u,), found = spec.cut.states.formats, coefficients.neurons(spec)
    formats = {"u": u} | {name: t.fmt for name, t in found.items()}
    sums = geo.M * op.h.lo, geo.M * op.h.hi
    words = []
    for k in range(count):
        ends, pick = [k >> j & 1 for j in range(len(formats) + 1)], k < 1 << len(formats) + 1
        counts = {name: geo.values if name == "u" else geo.G for name in formats}
        word = {name: np.full(counts[name], (fmt.lo, fmt.hi)[end]) if pick else
                rng.integers(fmt.lo, fmt.hi + 1, counts[name])
                for end, (name, fmt) in zip(ends, formats.items())}
        most = isqrt(2 * (geo.n * op.h.lo) ** 2) + 1
        word["ahead"] = (np.full(geo.G, (-most, most)[ends[-1]]) if pick else
                         rng.integers(-most, most + 1, geo.G))
        word["totals"] = (np.full((geo.F, geo.G), sums[ends[-1]]) if pick else
                          rng.integers(sums[0], sums[1] + 1, (geo.F, geo.G)))
        words.append(word)
    return words


def model(spec, word: dict) -> list[int]:
    """y of the word's neurons, by the reference's operations."""
    (u,), found = spec.cut.states.formats, coefficients.neurons(spec)
    op, G = spec.cut.states.op, spec.geo.G
    fmt = op.format(u)
    d = {name: Tensor(word[name], found[name].fmt) for name in ("d", "d1") if name in word}
    y = [op.output(u, word["totals"].sum(0), word["u"][-G:], d["d"])]
    if spec.geo.P > 1:
        y.insert(0, op.output(u, word["ahead"], word["u"][:G], d["d1"]))
    if spec.cut.b:
        b = Scale("y -> y", None, Tensor(word["b"], found["b"].fmt))
        y = [b.apply((fmt,), one) for one in y]
    return np.concatenate(y).tolist()


def run(spec, words: list[dict], held: float = 0.0) -> list[list[int]]:
    """What comes of words that follow each other; u and the row are there in a word's first cycle.
    """
    geo, m, en, head = spec.geo, Module(), Signal(), Signal()
    drives = DRIVES[geo.P](spec, chains.drive(spec))
    (u_fmt,), op = spec.cut.states.formats, spec.cut.states.op
    u = [Signal(shape_of(u_fmt), name=f"u{g}") for g in range(geo.values)]
    total = shape_of(op.h.total(geo.M))
    totals = [Signal(total, name=f"total{g}") for g in range(geo.G)]
    layout = data.StructLayout({name: shape_of(t.fmt) for name, t in
                                coefficients.neurons(spec).items()})
    row = Signal(data.ArrayLayout(layout, geo.G))
    ahead = [Signal(40 if geo.P > 1 else 1, name=f"p{g}") for g in range(geo.G)]
    pipe, late = Pipeline(m, en), drives.ahead - 1
    ys = drives.build(m, pipe, u, row, [pipe.delay(one, late, f"late{g}") for g, one in
                                        enumerate(totals)], pipe.delay(head, late, "head"),
                      *([[pipe.delay(one.as_signed(), late, f"late_p{g}")
                          for g, one in enumerate(ahead)]] if geo.P > 1 else []))
    rng, got = np.random.default_rng(3), []
    cycles = [(word, f) for word in words for f in range(geo.F)]

    async def bench(ctx):
        for t in range(len(cycles) + late):
            if t < len(cycles):
                word, f = cycles[t]
                ctx.set(head, f == 0)
                # In the other cycles nobody may look at them; with two steps they hold.
                known = not f or geo.P > 1
                for j, one in enumerate(u):
                    ctx.set(one, int(word["u"][j]) if known else ~int(word["u"][j]))
                for g in range(geo.G):
                    ctx.set(ahead[g], int(word["ahead"][g]) if f == geo.F - 1 else 7)
                    for name in layout.members:
                        value = int(word[name][g])
                        ctx.set(row[g][name], value if known else ~value)
                    ctx.set(totals[g], int(word["totals"][f][g]))
            while rng.random() < held:
                ctx.set(en, 0)
                await ctx.tick()
            ctx.set(en, 1)
            await ctx.tick()
            done = t - late
            if done >= 0 and done % geo.F == geo.F - 1:
                got.append([ctx.get(y) for y in ys])

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return got


@pytest.mark.parametrize("held", [0.0, 0.3], ids=["free", "held"])
@pytest.mark.parametrize("block", DRIVES)
@pytest.mark.parametrize("case", CASES)
def test_matches_the_operations(case, block, held):
    spec = spec_of(case, block)
    assert Drives(spec, chains.drive(spec)).bit == case.startswith("spikes")
    assert bool(spec.cut.b) == ("offset" in case or case.startswith("spikes"))
    words = words_of(spec, 40)
    expected = [model(spec, word) for word in words]
    assert run(spec, words, held) == expected


@pytest.mark.parametrize("block", DRIVES)
@pytest.mark.parametrize("case", CASES)
def test_the_range_is_exact_enough(case, block):
    """Nothing that the states and d can be leaves it, and it is no wider than a bit too much."""
    spec = spec_of(case, block)
    y, op, (u,) = chains.drive(spec), spec.cut.states.op, spec.cut.states.formats
    for u_end in (u.lo, u.hi):
        for h_end in (op.h.lo, op.h.hi):
            found = op.output(u, spec.art.n * h_end, np.full(spec.art.H, u_end))
            if spec.cut.b:
                found = Scale("y -> y", None, spec.cut.b).apply((op.format(u),), found)
            assert y.lo <= found.min() and found.max() <= y.hi
    assert y.shape.width <= spec.cut.y.width
