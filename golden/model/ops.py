"""The steps of a block in real numbers: each reads named values of a pass and makes one.

Values are (H, N), one row per neuron, N = time x batch in the order of ``golden.model.columns``.
``golden.model.families`` says which steps a block has, ``golden.model.network`` runs them.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from golden.kernels import ops
from golden.model.columns import Columns
from golden.model.config import NetworkConfig
from golden.model.neurons import heaviside, ternary
from golden.kernels.sampling import Draw

CURVES = {"relu": F.relu, "gelu": F.gelu, "identity": lambda z: z, "sigmoid": torch.sigmoid}


class Pass:
    """What the steps of one forward pass share.

    ``own`` is the parameters' type, ``dtype`` that of the large tensors, ``sampling`` the form of
    the draws (``golden.kernels.sampling``), None in a network that draws nothing. ``given`` (H, N)
    are uniform draws in place of drawn ones, by the number of the sampler. ``seen`` is a norm
    and what is called with its input and ``valid``. ``valid`` (N,) is 1 where a step belongs to its
    sequence, None: everywhere. ``notes`` gets tensors by name while a block is recorded, else None.
    """

    def __init__(self, columns: Columns, own: torch.dtype, dtype: torch.dtype,
                 sampling: str | None, given: list[torch.Tensor] | None = None,
                 seen: tuple[nn.Module, Callable] | None = None):
        self.columns, self.valid, self.own, self.dtype = columns, columns.valid(own), own, dtype
        self.sampling, self.given, self.seen, self.notes = sampling, given, seen, None
        self._shared = None, ()

    @property
    def chunks(self) -> tuple[int, int, int]:
        return self.columns.shape

    def draw(self, number: int) -> Draw:
        """How sampler ``number`` of the network draws."""
        return Draw(self.sampling, number, self.chunks)

    def shared(self, block: int, which: int, like: torch.Tensor) -> torch.Tensor:
        """One of the two uniform draws that the samplers of a block share."""
        if self._shared[0] != block:
            self._shared = block, (torch.rand_like(like), torch.rand_like(like))
        return self._shared[1][which]

    def asks(self, norm: nn.Module) -> bool:
        """Whether somebody wants to see the input of this norm."""
        return self.seen is not None and self.seen[0] is norm

    def norm(self, norm: nn.Module, x: torch.Tensor) -> None:
        """Show the input of a norm to whoever asked for it."""
        if self.asks(norm):
            self.seen[1](x, self.valid)


def start_log_dt(cfg: NetworkConfig) -> torch.Tensor:
    """(H,) logarithms of dt, uniform over the configuration's range."""
    low, high = math.log(cfg.dt_min), math.log(cfg.dt_max)
    return low + torch.rand(cfg.d_model) * (high - low)


class Step(nn.Module):
    """One step; ``forward(*values, now)`` makes its value, ``now`` is the :class:`Pass`."""


class States(Step):
    """State space models of H neurons: subclasses have ``convolve`` on (H, C, M, B)."""

    def sides(self) -> list[nn.Parameter]:
        """C of the past and, with a two-sided kernel, of the future."""
        return [self.C, self.C_future] if self.two_sided else [self.C]

    def forward(self, s, now: Pass):
        return self.convolve(s.view(-1, *now.chunks)).reshape(s.shape)


class Affine(Step):
    """``a x [+ b]`` per neuron; ``start`` (H,) of a, None: ones."""

    def __init__(self, H: int, offset: bool = True, start: torch.Tensor | None = None):
        super().__init__()
        self.a = nn.Parameter(torch.ones(H) if start is None else start)
        self.b = nn.Parameter(torch.zeros(H)) if offset else None

    def forward(self, x, now: Pass):
        if self.b is None:
            return x * self.a.to(x.dtype)[:, None]
        return torch.addcmul(self.b.to(x.dtype)[:, None], self.a.to(x.dtype)[:, None], x)


class Fire(Step):
    """SpikeSampler of ``p = y [+ b]``, ``number`` in the network; see ``golden.kernels.sampling``.

    ``shares`` names the uniform draws, 2 block + 0 or 1, that it has in common with others;
    ``output`` says that it is a block's output sampler, whose p is recorded.
    """

    def __init__(self, number: int, start: torch.Tensor | None = None, shares: int | None = None,
                 output: bool = False):
        super().__init__()
        self.number, self.shares, self.output = number, shares, output
        self.b = None if start is None else nn.Parameter(start)

    def offset(self, y) -> torch.Tensor:
        return self.b if self.b is not None else y.new_zeros(len(y), dtype=torch.promote_types(
            y.dtype, torch.float32))

    def forward(self, y, now: Pass):
        b = self.offset(y)
        if now.notes is not None and self.output:
            now.notes["p"] = (y if self.b is None else y.float() + b[:, None]).clamp(0, 1)
        u = None
        if now.given is not None:
            u = now.given[self.number if self.shares is None else self.shares]
        elif self.shares is not None and now.sampling == "bernoulli":
            u = now.shared(*divmod(self.shares, 2), y)
        if u is not None:
            return ops.spikes(y if self.b is None else y + b[:, None], now.draw(self.number), u)
        return ops.sample(y, b, now.draw(self.number))


class Mask(Step):
    """Nothing where a sequence has ended."""

    def forward(self, s, now: Pass):
        return s if now.valid is None else s * now.valid.to(s.dtype)


class Curve(Step):
    """A function of each value."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def forward(self, z, now: Pass):
        return CURVES[self.kind](z)


class Dropout(Step):
    """Dropout in training; ``tied``: one mask for all steps of a sequence."""

    def __init__(self, rate: float, tied: bool = False):
        super().__init__()
        self.rate, self.tied = rate, tied

    def forward(self, x, now: Pass):
        if not self.training:
            return x
        if self.tied:
            mask = F.dropout(x.new_ones(len(x), 1, 1, now.chunks[2]), self.rate)
            return (x.view(len(x), *now.chunks) * mask).reshape(x.shape)
        return F.dropout(x, self.rate)


class Mix(Step, nn.Linear):
    """``W s + b``; ``wide``: in the parameters' type, for what follows to be exact in it."""

    def __init__(self, inputs: int, outputs: int, wide: bool = False):
        nn.Linear.__init__(self, inputs, outputs)
        self.wide = wide

    def matrix(self) -> torch.Tensor:
        return self.weight

    def forward(self, s, now: Pass):
        weight, bias = self.matrix().to(s.dtype), self.bias.to(s.dtype)[:, None]
        if self.wide:
            return (weight @ s + bias).to(now.own)
        return torch.addmm(bias, weight, s)


class TernaryMix(Mix):
    """:class:`Mix` with ``Tern(W)`` of ``golden.model.neurons``, the threshold over the matrix."""

    def __init__(self, inputs: int, outputs: int, factor: float):
        super().__init__(inputs, outputs)
        self.factor = factor

    def matrix(self) -> torch.Tensor:
        return ternary(self.weight, self.factor)


class Add(Step):
    """``x + z`` in the type of x."""

    def forward(self, x, z, now: Pass):
        return x + z.to(x.dtype)


class Product(Step):
    def forward(self, n, gate, now: Pass):
        return n * gate


class Concat(Step):
    """Two populations as one of twice the size."""

    def forward(self, s, s2, now: Pass):
        return torch.cat([s, s2])


class Clamp(Step):
    """To [0, 1], in the large tensors' type; at 0 and 1 the gradient passes, as at a sampler."""

    def forward(self, z, now: Pass):
        return z.clamp(0, 1).to(now.dtype)


class ClampInput(Clamp):
    """:class:`Clamp` of the encoder's output, with a gradient that is one pass: none at 0 and 1."""

    def forward(self, z, now: Pass):
        return F.hardtanh(z, 0, 1).to(now.dtype)


class Heaviside(Step):
    """The neuron of Binary S4D, see ``golden.model.neurons``."""

    def __init__(self, surrogate: str, width: float, fires_at_zero: bool):
        super().__init__()
        self.options = surrogate, width, fires_at_zero

    def forward(self, y, now: Pass):
        return heaviside(y, *self.options)


class Ternary(Step):
    """``Tern(y)``, its threshold over the neurons of a step."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, y, now: Pass):
        return ternary(y, self.factor, dim=0)
