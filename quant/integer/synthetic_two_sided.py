"""Random networks with two-sided kernels: a Future beside every state space model."""

from dataclasses import replace

from quant.integer.future import Future
from quant.integer.memory import States
from quant.integer.ops import Add
from quant.integer.program import Artifact
from quant.integer.synthetic import random_artifact

OTHER = 100     # of the seed of the future's states


def with_future(art: Artifact, like: Artifact) -> Artifact:
    """``art`` with the states of ``like``, an artifact of the same shape, for the future."""
    def block(j, ops, others):
        found = []
        for op in ops:
            found.append(op)
            if isinstance(op, States):
                its, (u, y) = next(o for o in others if isinstance(o, States)), (
                    op.reads[0], op.makes)
                found += [Future(f"{u} -> future", its.a_re, its.a_im, its.g_re, its.g_im,
                                 h=its.h, rounding=op.rounding, layer=len(art.blocks) + j),
                          Add(f"{y} future -> {y}")]
        return tuple(found)
    return replace(art, blocks=tuple(map(block, range(len(art.blocks)), art.blocks,
                                         like.blocks))).check()


def random_two_sided(seed: int = 0, *shape, **options) -> Artifact:
    """As ``quant.integer.synthetic.random_artifact``, of a network with states."""
    return with_future(random_artifact(seed, *shape, **options),
                       random_artifact(seed + OTHER, *shape, **options))
