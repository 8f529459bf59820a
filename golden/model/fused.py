"""Runs of steps that are computed as one where a fused form exists (``golden.kernels.ops``)."""

from dataclasses import dataclass

import torch

from golden.kernels import ops
from golden.model.block import Block, Wired
from golden.model.norms import Norm
from golden.model.ops import Add, Clamp, Curve, Dropout, Fire, Mix, Pass, Step
from golden.kernels.sampling import Draw


@dataclass(frozen=True)
class ClampFuse:
    """From output spikes to the next block's x, and its spikes where a sampler follows.

    Mixer, ReLU, dropout, batch norm, the sum with x, clamp and sampler: one pass over the tensors
    for all that is behind the product.
    """

    steps: tuple[Wired, ...]
    parts: dict[type[Step], Step]       # the same by their kind

    @property
    def makes(self) -> tuple[str, ...]:
        return tuple(step.makes[0] for step in self.steps)

    def run(self, values: dict[str, torch.Tensor], now: Pass) -> None:
        s = values["s_out"]
        if not ops.fusable(s):
            for step in self.steps:
                step.run(values, now)
            return
        mixer, norm = self.parts[Mix], self.parts[Norm]
        dropout, fire = self.parts.get(Dropout), self.parts.get(Fire)
        z = mixer.weight.to(s.dtype) @ s
        if now.asks(norm):
            now.norm(norm, torch.relu((z + mixer.bias[:, None].to(z.dtype)).to(now.own)))
        draw = now.draw(fire.number) if fire else Draw("mean", 0, now.chunks)
        rate = dropout.rate if dropout and dropout.training else 0.0
        values["x"], spikes, mean, var = ops.fuse_relu(
            z, mixer.bias, norm.gamma, norm.beta, values["x"] if Add in self.parts else None,
            None if norm.training else (norm.mean, norm.var), norm.eps, draw, now.valid, rate)
        norm.track(mean, var)
        if fire:
            values["s"] = spikes


def program(block: Block) -> list[Wired | ClampFuse]:
    """The steps of a block, its run from mixer to clamp or sampler as one where it is known."""
    steps = block.steps
    start = next((i for i, step in enumerate(steps) if isinstance(step.op, Mix)), len(steps))
    run = {type(step.op): step.op for step in steps[start:]}
    kinds = [type(step.op) for step in steps[start:]]
    wanted = [Mix, Curve, Dropout, Norm, Add, Clamp, Fire]
    if (kinds != [kind for kind in wanted if kind in run]
            or not {Mix, Curve, Norm, Clamp} <= set(run) or run[Curve].kind != "relu"
            or not run[Norm].wide or run[Norm].kind != "batch"):
        return steps
    return [*steps[:start], ClampFuse(tuple(steps[start:]), run)]
