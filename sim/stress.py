"""A small network at the ends of its formats, through the same path as every other one.

A trained network is fitted so that it hardly gets there: on the digits nothing saturates, ties or
changes its sign. In this one states and the stream saturate, sums lie halfway between two numbers,
activations are negated, and every Sobol direction number is used; :func:`run` says how often.
``python -m sim`` runs it as well.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np

from quant.formats import STRESS, TERNARY
from quant.integer.artifact import Artifact
from quant.integer.memory import Draws, States
from quant.integer.ops import Limit, Round, Scale
from quant.integer.reference import Running
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from sim import campaign, tools

SEQUENCES, STEPS, LANES = 3, 40, 2


@cache
def artifact() -> Artifact:
    return random_artifact(seed=25, n_layers=2, H=4, n=2, length=STEPS, residual="plain",
                           rounding="half_even", sampling="sobol", stress=0.25, fmt=STRESS)


@cache
def sequences() -> np.ndarray:
    """(SEQUENCES, STEPS) samples; a quarter of them at the ends of their format."""
    rng, fmt = np.random.default_rng(3), artifact().sample
    values = rng.integers(fmt.lo, fmt.hi + 1, (SEQUENCES, STEPS))
    return np.where(rng.random(values.shape) < 0.25, rng.choice([fmt.lo, fmt.hi], values.shape),
                    values)


class Watched:
    """An operation of the reference, and a function that sees its inputs."""

    def __init__(self, call: Callable, look: Callable):
        self.call, self.look = call, look

    def __call__(self, *raws):
        self.look(self.call, *raws)
        return self.call(*raws)

    def __getattr__(self, name):
        return getattr(self.call, name)


def watch(run: Running, counts: Counter) -> Running:
    """``run``, whose ties and negations are added to ``counts``."""
    def ties(raw, shift: int) -> None:
        counts["ties"] += np.count_nonzero(raw & (1 << shift) - 1 == 1 << shift >> 1) * (shift > 0)

    def looker(op, inputs):
        def look(call, *raws):
            if isinstance(op, States):
                for part in op.sums(inputs[0], call.h_re, call.h_im, raws[0][:, None]):
                    ties(part, op.a_re.fmt.f_bits)
            elif isinstance(op, Round | Limit):
                ties(raws[0], inputs[0].f_bits - op.format(*inputs).f_bits)
            elif isinstance(op, Scale) and op.a is not None and op.a.fmt == TERNARY:
                counts["negations"] += np.count_nonzero((op.a.raw < 0) & (raws[0] != 0))
        return look
    run.steps = [(op, Watched(call, looker(op, inputs)))
                 for (op, call), inputs in zip(run.steps, run.inputs)]
    return run


@cache
def exercised() -> dict[str, int]:
    """How often the integer reference saturates, ties and negates on all sequences."""
    art, counts = artifact(), Counter(saturations=0, ties=0, negations=0)
    for values in sequences():
        draws = Draws(art.random, art.seed, art.H, art.n, len(values))
        runs = [watch(Running(ops, {name: fmt}, draws), counts) for ops, name, fmt in (
            (art.first, "v", art.input_format), *((ops, "x", art.x_format) for ops in art.blocks))]
        for value in values:
            x = runs[0](v=np.array([value]))
            for run in runs[1:]:
                x = run(x=x)
        counts["saturations"] += sum(sum(run.over.values()) for run in runs)
    return {name: int(count) for name, count in counts.items()}


def run() -> dict:
    """Its comparison: sequences, steps, equal, first_difference, and :func:`exercised`."""
    counts = exercised()
    if not all(counts.values()):
        raise RuntimeError(f"the stress network does not reach what it is for: {counts}")
    found = campaign.run(artifact(), sequences(), options=campaign.Options(
        HardwareConfig(LANES), with_cocotb=False, processes=1,
        folder=tools.build_folder("stress")), report=lambda text: None)
    return {"sequences": len(found.labels), "steps": found.total("steps"), "equal": found.equal,
            "first_difference": found.first, **counts}


def words(row: dict) -> str:
    """One line on what :func:`run` found."""
    return (f"stress network, {row['steps']} steps with {row['saturations']:,} saturations, "
            f"{row['ties']:,} ties and {row['negations']:,} negations: "
            f"{'equal' if row['equal'] else 'DIFFERENT'}")
