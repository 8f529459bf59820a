"""Fuzzed cases small enough for Amaranth's simulator."""

from dataclasses import replace

from golden.base.qformat import SQ
from quant.formats import EdgeFormats, LayerFormats, RandomFormat
from sim.fuzzing.case import Case
from sim.fuzzing.kinds import KINDS
from sim.fuzzing.shape import Shape

PAPER = {"act": "relu", "residual": "clampfuse", "rounding": "stochastic", "sampling": "bernoulli"}
OPTIONS = {      # a mixture
    "paper": PAPER, "lif": {name: PAPER[name] for name in PAPER if name != "sampling"} | {
        "reset": "zero"},
    "glu": {"residual": "plain", "norm_position": "pre", "rounding": "half_even",
            "fires_at_zero": False, "neuron": "step"},
    "gsu": {"residual": "none", "norm_position": "post", "rounding": "stochastic",
            "fires_at_zero": True, "neuron": "ternary"}}


def tiny(kind: str = "paper") -> Case:
    """A case that saturates, ties and fires."""
    formats = KINDS[kind].usual({})
    if isinstance(KINDS[kind].formats(), LayerFormats):
        formats |= {"h": "SQ(2,12)", "drive": "SQ(2,12)"}
    edge = replace(EdgeFormats(), dec_b=SQ(8, 18)).to_dict()
    shape = Shape(lanes=2, layers=1, H=3, n=2, n_classes=2, length=6, vocab=0, kind=kind,
                  options=OPTIONS[kind], formats=formats, edge=edge,
                  random=RandomFormat(k=4).to_dict())
    return Case(shape, seed=5, stress=0.3, limits=None, values="random", lengths=[6, 1, 4],
                master=77, stall=0.0, interrupt=0)
