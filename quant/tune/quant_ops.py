"""The operations of a block in the quantisation-aware model: one module for each kind.

Values are (H, N) tensors. With formats every value lies on the grid of the artifact's integers, and
gradients pass straight through; without them the same code computes in real numbers.
"""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from golden.kernels import ops as fused
from golden.model.neurons import heaviside, ternary
from golden.kernels.sampling import Draw
from golden.base.qformat import QFormat
from quant.formats import TERNARY, THRESHOLD
from quant.integer import curves, ops
from quant.integer.memory import Fire
from quant.integer.operation import ArtifactError, Operation, Tensor
from quant.tune.quantizers import (fixed, gelu, grid, integers_of, linear, mixer_quantizer, raw,
                                   round_to, straight_through, weight_of)


class QuantOperation(nn.Module):
    """An operation whose tensors, real numbers and their formats, are trained."""

    trained: tuple[str, ...] = ()       # tensors that are parameters under their own names

    def __init__(self, op: Operation, formats: tuple[QFormat, ...] | None):
        super().__init__()
        self.op, self.formats = op, formats     # formats of what it reads; None: real numbers
        for name in self.trained:
            if name in op.tensors:
                value = torch.from_numpy(np.array(op.tensors[name].raw, np.float64))
                self.register_parameter(name, nn.Parameter(value))

    def on_grid(self, name: str) -> torch.Tensor:
        """A parameter as used."""
        value = getattr(self, name)
        return value if self.formats is None else grid(value, self.op.tensors[name].fmt)

    def forward(self, *values_and_now) -> torch.Tensor:
        """The value (H, N) made of others and of the pass, ``quant.tune.qat.Now``."""
        return PLAIN[type(self.op)](self, *values_and_now[:-1])

    def integers(self, **made: np.ndarray) -> Operation:
        """The operation with integers in its tensors, those ``made`` and all trained ones."""
        def integer(name, t):
            if name in self.trained and name not in made:
                return Tensor(raw(getattr(self, name), t.fmt), t.fmt)
            return Tensor(made.get(name, t.raw), t.fmt)
        return self.op.on_tensors(integer)


class QuantScale(QuantOperation):
    trained = ("a", "b")

    def __init__(self, op, formats):
        super().__init__(op, formats)
        if op.a and op.a.fmt == TERNARY:       # the sign of a folded norm
            a = self.a.data
            del self.a
            self.register_buffer("a", a)

    def scaled(self, x):
        return self.on_grid("a")[:, None] * x if self.op.a else x

    def forward(self, x, now):
        x = self.scaled(x)
        return x + self.on_grid("b")[:, None] if self.op.b else x


class QuantEncoder(QuantOperation):
    """The affine encoder: a :class:`Scale` whose a is a Brevitas layer's weight."""

    trained = ("b",)

    def __init__(self, op: ops.Scale, formats):
        super().__init__(op, formats)
        self.linear = fixed(op.a.raw[:, None], op.a.fmt)

    def forward(self, v, now):
        return weight_of(self.linear) * v + self.on_grid("b")[:, None]

    def integers(self):
        return super().integers(a=integers_of(self.linear)[:, 0])


class QuantEmbed(QuantOperation):
    trained = ("table",)

    def rows(self) -> torch.Tensor:
        return F.hardtanh(self.table, 0, 1) if self.op.unit else self.table

    def forward(self, v, now):
        rows = self.rows()
        return (rows if self.formats is None else grid(rows, self.op.table.fmt))[v[0]].T

    def integers(self):
        return super().integers(table=raw(self.rows(), self.op.table.fmt))


class QuantMix(QuantOperation):
    """Brevitas' weights, a power of two per row; without a shift ternary ones."""

    trained = ("bias",)

    def __init__(self, op, formats):
        super().__init__(op, formats)
        self.rows = op.shift is not None
        quantizer = None
        if formats is not None and self.rows:
            quantizer = mixer_quantizer(op.w.fmt.width, op.bias.fmt.f_bits)
        self.linear = linear(op.w.raw, quantizer)

    def matrix(self) -> torch.Tensor:
        return weight_of(self.linear) if self.rows else ternary(
            self.linear.weight, self.op.ternary)

    def forward(self, s, now):
        return self.matrix() @ s + self.on_grid("bias")[:, None]

    def integers(self):
        op = self.op
        if not self.rows:
            return super().integers(w=raw(self.matrix(), op.w.fmt))
        shift = torch.log2(self.linear.quant_weight().scale).reshape(-1) + op.bias.fmt.f_bits
        over = int((shift > op.shift.fmt.hi).sum())
        if over:
            largest = float(self.linear.weight.abs().max())
            raise ArtifactError(f"{op}: {over} of {len(shift)} rows need a left shift of up to "
                                f"{int(shift.max())}, {op.shift.fmt} allows {op.shift.fmt.hi}; the "
                                f"largest folded weight is {largest:g}")
        return super().integers(w=integers_of(self.linear), shift=raw(shift, op.shift.fmt))


class QuantFire(QuantOperation):
    def forward(self, p, now, offset: torch.Tensor | None = None):
        """Spikes of ``p [+ offset]``, offset (H,); with an artifact's draws there is none."""
        if now.draws is None:
            return fused.sample(p, p.new_zeros(len(p)) if offset is None else offset,
                                Draw(now.sampling, self.op.number, now.chunks))
        s = now.draws.spikes(self.op, p.detach().view(len(p), -1, now.chunks[2])).view(p.shape)
        return straight_through(s, p.clamp(0, 1))


class QuantLimit(QuantOperation):
    """Rounded and saturated with formats; shows its input to whoever measures ranges.

    Where it saturates gradients pass, but not in a block of samplers, as at a probability's clamp.
    """

    clamps = False

    def forward(self, x, now):
        if not self.op.counted:         # an index: its table rounds it
            return x
        now.see(self.op.makes, x)
        if self.formats is None:
            return x
        to = self.op.to
        if self.clamps and self.formats[0].f_bits == to.f_bits:
            return x.clamp(to.lo * 2.0 ** -to.f_bits, to.hi * 2.0 ** -to.f_bits)
        return grid(x, to)


class QuantTable(QuantOperation):
    """Values by the artifact's table, with the gradient of the function itself."""

    def __init__(self, op: ops.Table, formats):
        super().__init__(op, formats)
        if formats is not None:
            raws = curves.TABLES[op.kind](op.index, op.table.fmt)
            self.op = replace(op, table=Tensor(raws, op.table.fmt))
            self.register_buffer("table", torch.from_numpy(raws * 2.0 ** -op.table.fmt.f_bits))

    def look_up(self, index: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        at = (index.detach() * 2.0 ** self.op.index.f_bits).to(torch.int64) - self.op.index.lo
        return straight_through(self.table[at].to(real.dtype), real)

    def forward(self, y, now):
        if self.op.kind == "sigmoid":
            value = torch.sigmoid(y)
            if self.formats is None:
                return value
            return self.look_up(grid(y, self.op.index), value)
        value = F.gelu(y)
        if self.formats is None:
            return value
        rest = self.look_up(grid(y.abs(), self.op.index), F.relu(y) - value)
        return straight_through(F.relu(y) - rest, value)


class QuantTernary(QuantOperation):
    def factor(self) -> float:
        """The threshold as used."""
        value = float(self.op.threshold.raw)
        if self.formats is None:
            return value
        return min(round(value * 2 ** THRESHOLD.f_bits), THRESHOLD.hi) * 2.0 ** -THRESHOLD.f_bits

    def forward(self, z, now):
        return ternary(z, self.factor(), dim=0)

    def integers(self):
        return super().integers(threshold=np.array(round(self.factor() * 2 ** THRESHOLD.f_bits)))


def _curve(m: QuantOperation, y):
    if m.op.kind == "relu":
        return F.relu(y)
    return F.gelu(y) if m.formats is None else gelu(y, m.formats[0].f_bits)


PLAIN = {ops.Add: lambda m, x, z: x + z, ops.Product: lambda m, n, gate: n * gate,
         ops.Clamp: lambda m, z: F.hardtanh(z, 0, 1), ops.Curve: _curve,
         ops.Round: lambda m, x: x if m.formats is None else round_to(x, m.op.bits),
         ops.Step: lambda m, y: heaviside(y, m.op.surrogate, m.op.width, m.op.fires_at_zero)}
MODULES = dict.fromkeys(PLAIN, QuantOperation) | {
    ops.Scale: QuantScale, ops.Embed: QuantEmbed, ops.Mix: QuantMix, Fire: QuantFire,
    ops.Limit: QuantLimit, ops.Table: QuantTable, ops.Ternary: QuantTernary}
