"""A training step recorded once as a CUDA graph and replayed: no time between its kernels.

A step of a small network is some hundred kernels of a few microseconds, which Python could not
start fast enough.
"""

from collections.abc import Callable

import torch
from torch import nn

WARM_UP = 3         # steps before the recording, as PyTorch advises


class GraphedStep:
    """``step(values, labels)`` of fixed shapes on a GPU.

    ``step`` makes a whole training step with ``net`` and ``opt``, returns a tensor and must not
    wait for the GPU; ``values`` and ``labels`` are an example, whose shapes and types all later
    ones have. The steps that the recording needs leave no trace in ``net`` and ``opt``.
    """

    def __init__(self, step: Callable, net: nn.Module, opt: torch.optim.Optimizer,
                 values: torch.Tensor, labels: torch.Tensor):
        self.values, self.labels = values.clone(), labels.clone()
        before = {name: t.clone() for name, t in net.state_dict().items()}
        moments = {p: {name: t.clone() for name, t in state.items()}
                   for p, state in opt.state.items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                step(self.values, self.labels)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.result = step(self.values, self.labels)
        net.load_state_dict(before)
        for p, state in opt.state.items():
            for name, t in state.items():
                if p in moments:
                    t.copy_(moments[p][name])
                else:
                    t.zero_()

    def __call__(self, values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What ``step`` returns; overwritten by the next call."""
        self.values.copy_(values)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.result
