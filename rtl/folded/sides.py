"""A layer with two-sided kernels in parts: what each part computes, as a layer of its own.

The parts are in front of the states, the states of both sides, and what stands behind their sum.
"""

from dataclasses import replace

import numpy as np

from quant.integer.memory import States
from quant.integer.operation import Tensor
from rtl.cut import Cut
from rtl.folded.stack import facts, stacked
from rtl.parts.config import Geometry, HardwareError
from rtl.spec import LayerSpec

ENTERS, SUM = "u", "sum"        # what the states of both sides read and make


def in_front(spec: LayerSpec) -> LayerSpec:
    """From x to what enters the states, a word in a cycle."""
    def cut(whole: Cut) -> Cut:
        return replace(whole, states=None, future=None, added=None, middle=(), ternary=None,
                       mixes=(), back=())
    return _part(spec, cut, _alone(spec))


def of_states(spec: LayerSpec) -> LayerSpec:
    """Both sides' states, as layers that take turns: 2 j has the future of layer j, 2 j + 1 its
    past."""
    cuts = tuple(side for whole in spec.cuts for side in (_future(whole), _past(whole)))
    return replace(spec, cut=stacked(cuts), cuts=cuts, two_way=True,
                   geo=replace(spec.geo, layers=2 * spec.geo.layers))


def behind(spec: LayerSpec) -> LayerSpec:
    """From both sides' sum to what the mixers read, a word in a cycle. A word takes along what
    entered the states, if that are spikes, and the states' part of the signature."""
    def cut(whole: Cut) -> Cut:
        name = whole.added.op.makes
        return replace(whole, i=name, u=name, x=whole.added.made, front=(), states=None,
                       future=None, added=None)
    brings = (("s_in", spec.geo.values),) if spec.spikes_enter else ()
    brings += (("signed", 32),) if spec.hw.signature else ()
    return replace(_part(spec, cut, _alone(spec)), brings=brings)


def check(spec: LayerSpec) -> None:
    """Raise :class:`HardwareError` where the states of both sides have not the same formats."""
    past, future = facts(_past(spec.cut).states), facts(_future(spec.cut).states)
    for name, seen in past.items():
        if future.get(name) != seen:
            raise HardwareError(
                f"layer {spec.number}: {name} of the states is {seen} of the past, but "
                f"{future.get(name)} of the future; both sides share the hardware: export with "
                f"--one-format")


def _alone(spec: LayerSpec) -> Geometry:
    """Of neurons without modes, in the same words."""
    return Geometry(spec.geo.H, 1, spec.geo.G, spec.geo.P, spec.geo.layers)


def _part(spec: LayerSpec, cut, geo: Geometry) -> LayerSpec:
    return replace(spec, cut=cut(spec.cut), cuts=tuple(map(cut, spec.cuts)), geo=geo)


def _side(whole: Cut, op: States) -> Cut:
    """States alone; what enters has its own name."""
    u, = whole.states.formats
    op = replace(op, wiring=f"{ENTERS} -> {SUM}")
    wire = replace(whole.states, op=op, made=op.format(u))
    return Cut(whole.where, u, (), ENTERS, wire, None, (), None, (), (), i=ENTERS)


def _past(whole: Cut) -> Cut:
    return _side(whole, whole.states.op)


def _future(whole: Cut) -> Cut:
    """As states that answer what they are behind a step: the answer of the step before."""
    op, d = whole.future.op, whole.states.op.d
    return _side(whole, States(op.wiring, op.a_re, op.a_im, op.g_re, op.g_im,
                               Tensor(np.zeros_like(d.raw), d.fmt), op.h, op.rounding, op.layer))
