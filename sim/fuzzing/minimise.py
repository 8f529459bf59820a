"""A failing case made small: one thing at a time is made simpler while the case still fails."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from quant.formats import EdgeFormats, RandomFormat
from rtl.parts.config import allowed
from sim.fuzzing.case import Case
from sim.fuzzing.shape import Shape


def minimise(case: Case, failing: Callable[[list[Case]], Case | None], seconds: float) -> Case:
    """The simplest case found in that time. ``case`` itself fails.

    failing : runs cases of one shape, and gives one that fails.
    """
    end = time.perf_counter() + seconds
    again = True
    while again:
        again = False
        for smaller in candidates(case):
            if time.perf_counter() > end:
                return case
            if smaller.shape.broken_rule() is not None:
                continue
            found = failing([smaller] if smaller.shape == case.shape else moments(smaller))
            if found:
                case, again = found, True
                break
    return case


def moments(case: Case) -> list[Case]:
    """The case, with its reset at each moment up to its own: a simpler shape is there earlier."""
    return [replace(case, interrupt=k + 1) for k in range(case.interrupt)] or [case]


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
    for n in sorted({min(shape.of.modes), 1, 2, shape.n // 2}):
        if n < shape.n:
            yield from _with_lanes(replace(shape, n=n))
    for lanes in allowed(shape.H, shape.n):
        if lanes < shape.lanes:
            yield replace(shape, lanes=lanes)
    if shape.n_classes > 1:
        yield replace(shape, n_classes=1)
    for name, (simplest, *_) in shape.of.options.items():
        if shape.options[name] != simplest:
            yield replace(shape, options=shape.options | {name: simplest})
    for name, simplest in (("block", 1), ("two_sided", False), ("folded", False),
                           ("single_ports", 0),
                           ("mixer", "columns")):
        if getattr(shape, name) != simplest:
            yield replace(shape, **{name: simplest})
    if shape.random != RandomFormat().to_dict():
        yield replace(shape, random=RandomFormat().to_dict())
    yield from _usual_formats(shape)


def _usual_formats(shape: Shape) -> Iterator[Shape]:
    fmt = shape.of.usual(shape.formats)
    if shape.formats != fmt:
        yield replace(shape, formats=fmt, edge=_usual_edge(shape, fmt))
    for name in shape.of.may_lack:
        if name in shape.formats:
            yield replace(shape, formats={other: text for other, text in shape.formats.items()
                                          if other != name})
    for name in fmt:
        if shape.formats.get(name) != fmt[name]:
            yield replace(shape, formats=shape.formats | {name: fmt[name]})
    edge = _usual_edge(shape, shape.formats)
    if shape.edge != edge:
        yield replace(shape, edge=edge)


def _with_lanes(shape: Shape) -> Iterator[Shape]:
    """The shape with its own lanes where they fit, else with the most and the fewest below."""
    fitting = [p for p in allowed(shape.H, shape.n) if p <= shape.lanes]
    for lanes in sorted({fitting[-1], fitting[0]}, reverse=True):
        yield replace(shape, lanes=lanes)


def _usual_edge(shape: Shape, formats: dict) -> dict:
    """Edge formats that fit a decoder's sum of ``formats``."""
    edge, x = EdgeFormats(), shape.of.x(shape, shape.of.formats.from_dict(formats))
    dec_b = replace(edge.dec_b, f_bits=edge.dec_w.f_bits + x.f_bits)
    sample = None if shape.vocab else edge.sample
    return replace(edge, sample=sample, dec_b=dec_b).to_dict()
