"""A failing case made small: one thing at a time is made simpler while the case still fails."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from quant.formats import EdgeFormats, LayerFormats, RandomFormat
from rtl.parts.config import Geometry
from sim.fuzzing.draws import ALLOWED, Case, Shape


def minimise(case: Case, fails: Callable[[Case], bool], seconds: float) -> Case:
    """The simplest case found in that time; ``fails`` runs a case. ``case`` itself fails."""
    end = time.perf_counter() + seconds
    again = True
    while again:
        again = False
        for smaller in candidates(case):
            if time.perf_counter() > end:
                return case
            if smaller.shape.broken_rule() is None and fails(smaller):
                case, again = smaller, True
                break
    return case


def candidates(case: Case) -> Iterator[Case]:
    """Simpler cases, the ones that need no new build first, then the ones that help most."""
    lengths = case.lengths
    half = len(lengths) // 2
    fewer = [lengths[:1], lengths[-1:], lengths[:half], lengths[half:], lengths[1:], lengths[:-1]]
    shorter = [[max(1, v // 2) for v in lengths], [max(1, v - 1) for v in lengths]]
    shorter += [[*lengths[:k], 1, *lengths[k + 1:]] for k in range(len(lengths))]
    for found in fewer + shorter:
        if found and found != lengths:
            yield replace(case, lengths=found)
    for name, value in (("interrupt", 0), ("stall", 0.0), ("limits", None), ("stress", 0.0),
                        ("values", "lowest"), ("seed", 1), ("master", 1)):
        if getattr(case, name) != value and (name != "values" or case.values == "random"):
            yield replace(case, **{name: value})
    for shape in _simpler(case.shape):
        yield replace(case, shape=shape, lengths=[min(v, shape.length) for v in lengths])
    tight = replace(case.shape, length=max(lengths))
    if tight != case.shape:
        yield replace(case, shape=tight)


def _simpler(shape: Shape) -> Iterator[Shape]:
    if shape.layers > 1:
        yield replace(shape, layers=1)
        yield replace(shape, layers=shape.layers - 1)
    for H in sorted({2, 4, shape.H // 2, shape.H - 1}):
        if 1 <= H < shape.H:
            yield from _with_lanes(replace(shape, H=H))
    for n in sorted({1, 2, shape.n // 2}):
        if 1 <= n < shape.n:
            yield from _with_lanes(replace(shape, n=n))
    for lanes in Geometry(shape.H, shape.n, 1).allowed():
        if lanes < shape.lanes:
            yield replace(shape, lanes=lanes)
    if shape.n_classes > 1:
        yield replace(shape, n_classes=1)
    for name, simplest in (("rounding", "half_even"), ("act", "identity"), ("residual", "none"),
                           ("sampling", "bernoulli")):
        if getattr(shape, name) != simplest and simplest in ALLOWED[name]:
            yield replace(shape, **{name: simplest})
    fmt = LayerFormats().to_dict()
    if shape.random != RandomFormat().to_dict():
        yield replace(shape, random=RandomFormat().to_dict())
    if shape.formats != fmt:
        yield replace(shape, formats=fmt, edge=_usual_edge(shape, fmt))
    for name in fmt:
        if shape.formats.get(name) != fmt[name]:
            yield replace(shape, formats=shape.formats | {name: fmt[name]})


def _with_lanes(shape: Shape) -> Iterator[Shape]:
    """The shape with its own lanes where they fit, else with the most and the fewest below."""
    allowed = [p for p in Geometry(shape.H, shape.n, 1).allowed() if p <= shape.lanes]
    for lanes in sorted({allowed[-1], allowed[0]}, reverse=True):
        yield replace(shape, lanes=lanes)


def _usual_edge(shape: Shape, formats: dict) -> dict:
    """Edge formats that fit a decoder's sum of ``formats``."""
    fmt, edge = LayerFormats.from_dict(formats), EdgeFormats()
    stream = fmt.x if shape.residual == "plain" else fmt.p
    dec_b = replace(edge.dec_b, f_bits=edge.dec_w.f_bits + stream.f_bits)
    sample = None if shape.vocab else edge.sample
    return replace(edge, sample=sample, dec_b=dec_b).to_dict()
