"""The quantisation-aware model: the folded network in PyTorch on the integers' grids.

Two forms. ``convolution`` has every coefficient on its grid but no rounding of the state; it trains
in parallel over time, always with one step per update. ``recurrence`` rounds and saturates the
state at every update, with the LFSR's words as uniform draws; in float64 it equals
``quant.integer.reference`` bit for bit, because every value is an integer times a power of two that
53 bits hold. Without formats the same code is the folded network in real numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from golden.kernels import ops as fused
from golden.model.columns import Columns
from golden.model.network import chunks as chunks_of
from golden.kernels.sampling import Draw
from quant.formats import TERNARY
from quant.integer.memory import Fire
from quant.integer.operation import ArtifactError, Tensor, wired
from quant.integer.ops import Add, Clamp, Curve, Mix, Scale
from quant.integer.program import Program
from quant.tune.draws import LfsrDraws
from quant.tune import quant_membrane, quant_states    # noqa: F401  they make modules known
from quant.tune.qat_head import QuantHead
from quant.tune.quant_ops import (MODULES, QuantEncoder, QuantFire, QuantLimit, QuantOperation,
                                  QuantScale)
from quant.tune.quantizers import fixed, grid, integers_of, raw, weight_of

Observer = Callable[[object, str, torch.Tensor], None]


@dataclass
class Now:
    """What the operations of one pass share."""

    form: str
    columns: Columns
    valid: torch.Tensor | None      # (N,), 1 where a step belongs to its sequence
    draws: LfsrDraws | None
    sampling: str
    observe: Observer | None
    recording: bool
    place: object = "first"

    @property
    def chunks(self) -> tuple[int, int, int]:
        return self.columns.shape

    def see(self, name: str, x: torch.Tensor) -> None:
        """Show a value (H, N) before it is limited, or states (2, H, n, B)."""
        if self.observe:
            self.observe(self.place, name, x)


@dataclass
class Fused:
    """From a block's output spikes to its x and the next spikes, as in ``golden.kernels.ops``."""

    mix: QuantOperation
    sign: QuantOperation
    addend: QuantOperation
    add: bool

    @staticmethod
    def of(modules: list[QuantOperation]) -> "Fused | None":
        """The last operations of a block, if they are such a run."""
        start = next((i for i, m in enumerate(modules) if isinstance(m.op, Mix)), len(modules))
        run = [m.op for m in modules[start:]]
        kinds = [type(op) for op in run]
        if (kinds not in ([Mix, Curve, Scale, Scale, Clamp], [Mix, Curve, Scale, Scale, Add, Clamp])
                or run[1].kind != "relu" or run[2].a is None or run[2].a.fmt != TERNARY):
            return None
        return Fused(modules[start], modules[start + 2], modules[start + 3], Add in kinds)

    def run(self, s, x, draw: Draw):
        """(x, spikes) for output spikes s and the block's x, all (H, N)."""
        bias, addend = self.mix.on_grid("bias"), self.addend.on_grid("b")
        stats = torch.zeros_like(bias), torch.ones_like(bias)
        return fused.fuse_relu(self.mix.matrix() @ s, bias, self.sign.a.to(bias.dtype), addend,
                               x if self.add else None, stats, 0.0, draw)[:2]


class QuantNetwork(nn.Module):
    """A folded network; tensors without formats leave everything in real numbers."""

    def __init__(self, program: Program):
        super().__init__()
        self.program, self.formatted = program, program.decoder_w.fmt is not None
        self.sampling = next((op.form for ops in program.blocks for op in ops
                              if isinstance(op, Fire)), "")

        def modules(ops, formats, kinds=MODULES):
            wires = wired(ops, formats)[0] if self.formatted else [(op, None) for op in ops]
            return nn.ModuleList(kinds[type(op)](op, inputs) for op, inputs in wires)

        self.blocks = nn.ModuleList(
            modules(ops, {"x": program.x_format} if self.formatted else {})
            for ops in program.blocks)
        self.first = modules(program.first, {"v": program.input_format},
                             MODULES | {Scale: QuantEncoder})
        for module in self.modules():
            if isinstance(module, QuantLimit):
                module.clamps = bool(self.sampling)
        self.decoder = fixed(program.decoder_w.raw, program.decoder_w.fmt)
        self.dec_b = nn.Parameter(torch.from_numpy(program.decoder_b.raw.astype(float)))
        self.head = program.head and QuantHead(program.head)
        self._fused = [self.sampling and Fused.of(list(block)) for block in self.blocks]

    def through(self, modules, values: dict[str, torch.Tensor], now: Now) -> None:
        """Run operations one after the other on values by name.

        A sampler takes the offset in front of it itself: one pass less over the tensors.
        """
        waiting = None
        for module, following in zip(modules, [*modules[1:], None]):
            inputs = [values[name] for name in module.op.reads]
            if waiting is not None:
                p, b = waiting
                values[module.op.makes], waiting = module(p, now, b), None
                continue
            if (now.draws is None and isinstance(following, QuantFire)
                    and isinstance(module, QuantScale) and module.op.b):
                p, b = module.scaled(inputs[0]), module.on_grid("b")
                values[module.op.makes], waiting = p, (p, b)
                if now.recording:
                    values[module.op.makes] = p + b[:, None]
                continue
            values[module.op.makes] = module(*inputs, now)

    def forward(self, v: torch.Tensor, lengths: torch.Tensor | None = None,
                form: str = "convolution", draws: LfsrDraws | None = None,
                record: list | None = None, observe: Observer | None = None) -> torch.Tensor:
        """Logits (B, classes) of samples (real) or tokens v (B, L).

        With a head rows are paired as in ``golden.model.network.Network.forward``.

        Parameters
        ----------
        lengths : (B,)
            Steps that count; None: all of them.
        form
            ``convolution`` or ``recurrence``.
        draws
            For the recurrence. None: PyTorch's generator, and a recurrence rounds to nearest.
        record : list
            Gets a dict per block of all its values by name (B, L, H), ``x_in`` what it was given.
        observe
            Called with (place, name, value (H, N)) before every limit, and with a layer's states
            ``h`` (2, H, n, B) after every step of a recurrence.
        """
        if form not in ("convolution", "recurrence"):
            raise ValueError(f"form must be convolution or recurrence, not {form!r}")
        if draws is not None and form != "recurrence":
            raise ValueError("an artifact's draws are for the recurrence")
        B, L = v.shape
        columns = Columns(v, lengths, (L, 1) if form == "recurrence" else chunks_of(L))
        values = {"v": columns.of(v)[None]}
        valid = columns.valid(self.dec_b.dtype)
        now = Now(form, columns, valid, draws, self.sampling, observe, record is not None)
        self.through(self.first, values, now)
        spikes, x = None, values["x"]
        for j, (block, fuse) in enumerate(zip(self.blocks, self._fused)):
            now.place, values, modules = j, {"x": x}, list(block)
            if spikes is not None:          # of its first sampler: the block before drew them
                values[modules[0].op.makes], spikes = spikes, None
                modules = modules[1:]
            fuse = fuse if (draws is None and valid is None and record is None
                            and fused.fusable(x)) else None
            if fuse:
                modules = modules[:modules.index(fuse.mix)]
            self.through(modules, values, now)
            x_in = x
            if fuse:
                x, spikes = fuse.run(values["s_out"], x, Draw(self.sampling, 2 * j + 2, now.chunks))
                following = self.blocks[j + 1][0] if j + 1 < len(self.blocks) else None
                spikes = spikes if isinstance(following, QuantFire) else None
            else:
                x = values["x"]
            if record is not None:
                kept = values | {"x_in": x_in}
                if valid is not None and "s_in" in kept:
                    kept["s_in"] = kept["s_in"] * valid
                record.append({name: columns.rows(t.detach()) for name, t in kept.items()})
        total = (x if valid is None else x * valid).view(len(x), -1, B).sum(1)       # (H, B)
        steps = L if columns.lengths is None else columns.lengths.to(x.dtype)[:, None]
        b = grid(self.dec_b, self.program.decoder_b.fmt) if self.formatted else self.dec_b
        mean = (total.T @ weight_of(self.decoder).T + steps * b) / steps
        return mean if self.head is None else self.head(mean)

    def integers(self) -> Program:
        """The operations with integers in their tensors; float64, evaluation mode."""
        fmt_w, fmt_b = self.program.decoder_w.fmt, self.program.decoder_b.fmt

        def form(op):
            return replace(op, form=self.sampling) if isinstance(op, Fire) else op

        def block(j, modules):
            try:
                return tuple(form(m.integers()) for m in modules)
            except ArtifactError as error:
                raise ArtifactError(f"layer {j}, {error}") from None

        return replace(
            self.program, first=tuple(m.integers() for m in self.first),
            blocks=tuple(block(j, modules) for j, modules in enumerate(self.blocks)),
            decoder_w=Tensor(integers_of(self.decoder), fmt_w),
            decoder_b=Tensor(raw(self.dec_b, fmt_b), fmt_b),
            head=self.head and self.head.integers())
