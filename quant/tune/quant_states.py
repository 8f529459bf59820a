"""State space models in the quantisation-aware model."""

import torch
from torch import nn

from golden.model.ssm import chunked_conv
from quant.integer.future import Future
from quant.integer.memory import States
from quant.tune.quant_ops import MODULES, QuantOperation
from quant.tune.quantizers import grid, raw, round_to, straight_through, unit_disc


class QuantStates(QuantOperation):
    """A_bar as decay and angle, so that training keeps it inside the unit circle.

    With two steps per update a2, g1 and d1 follow from the trained A_bar, g and d before these are
    rounded; what an artifact's integers differ by from that stays as it is.
    """

    trained = ("g_re", "g_im", "d")

    def __init__(self, op: States, formats):
        super().__init__(op, formats)
        A = torch.from_numpy(op.a_re.raw + 1j * op.a_im.raw)
        self.log_decay = nn.Parameter(torch.log(-torch.log(A.abs())))
        self.angle = nn.Parameter(A.angle())
        if op.block == 2:
            for name, value in zip(op.OF_BLOCK, self._following()):
                rest = torch.from_numpy(op.tensors[name].raw) - value.detach()
                self.register_buffer(f"rest_{name}", rest, persistent=False)

    def _decay(self) -> torch.Tensor:
        return torch.exp(torch.complex(-torch.exp(self.log_decay), self.angle))

    def _following(self) -> tuple[torch.Tensor, ...]:
        """What follows from A_bar, g and d, in the order of ``States.OF_BLOCK``."""
        A, g = self._decay(), torch.complex(self.g_re, self.g_im)
        a2, g1 = A * A, A * g
        return a2.real, a2.imag, g1.real, g1.imag, self.d + self.g_re.sum(-1)

    def discrete(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A_bar, g (H, n) complex and d (H,), 0 where there is none."""
        A = self._decay()
        if self.formats is not None:
            A = unit_disc(A, self.op.a_re.fmt)
        d = self.on_grid("d") if self.op.d else self.angle.new_zeros(len(A))
        return A, torch.complex(self.on_grid("g_re"), self.on_grid("g_im")), d

    def of_block(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """a2, g1 (H, n) complex and d1 (H,)."""
        a2_re, a2_im, *rest = (value + getattr(self, f"rest_{name}") for name, value in
                               zip(self.op.OF_BLOCK, self._following()))
        a2 = torch.complex(a2_re, a2_im)
        if self.formats is not None:
            a2 = unit_disc(a2, self.op.a2_re.fmt)
            rest = [grid(value, fmt) for value, fmt in zip(rest, (
                self.op.g1_re.fmt, self.op.g1_im.fmt, self.op.d1.fmt))]
        g1_re, g1_im, d1 = rest
        return a2, torch.complex(g1_re, g1_im), d1

    def forward(self, s, now):
        s = s if now.valid is None else s * now.valid
        if now.form == "recurrence":
            recur = self.recur if self.op.block == 1 else self.recur_blocks
            return recur(s.view(len(s), -1, now.chunks[2]), now).reshape(s.shape)
        u, system = s.view(-1, *now.chunks), self.discrete()
        if self.op.backwards:
            return chunked_conv(u.flip(1, 2), *system, delay=1).flip(1, 2).reshape(s.shape)
        return chunked_conv(u, *system).reshape(s.shape)

    def _stored(self, updates: int, s: torch.Tensor, now):
        """What rounds and saturates ``(sum, number of the update, part)`` with formats."""
        fmt = self.op.h
        if self.formats is None:
            return lambda acc, t, part: acc
        one, stochastic = 2.0 ** fmt.f_bits, self.op.rounding == "stochastic"
        if stochastic:
            dither = now.draws.rounding(self.op.layer, updates * self.op.block)
            dither = dither.to(s.dtype)[..., None]

        def stored(acc, t, part):
            value = acc * one
            value = torch.floor(value + dither[t, part]) if stochastic else torch.round(value)
            return straight_through(value.clamp(fmt.lo, fmt.hi) / one, acc)
        return stored

    def recur(self, s: torch.Tensor, now) -> torch.Tensor:
        """y (H, L, B) of inputs s (H, L, B), state by state; rounds and saturates with formats."""
        A, g, d = self.discrete()
        a_re, a_im, g_re, g_im = (t[..., None] for t in (A.real, A.imag, g.real, g.imag))
        L, backwards = s.shape[1], self.op.backwards
        stored = self._stored(L, s, now)
        h_re = h_im = s.new_zeros(*A.shape, s.shape[2])
        y = [None] * L
        for t in reversed(range(L)) if backwards else range(L):
            u, before = s[:, t][:, None], h_re                         # u (H, 1, B)
            re = torch.addcmul(torch.addcmul(g_re * u, a_re, h_re), a_im, h_im, value=-1)
            im = torch.addcmul(torch.addcmul(g_im * u, a_re, h_im), a_im, h_re)
            h_re, h_im = stored(re, t, 0), stored(im, t, 1)
            if now.observe:
                now.see(self.op.state, torch.stack([h_re, h_im]))
            y[t] = (before if backwards else h_re).sum(1) + d[:, None] * s[:, t]
        return torch.stack(y, 1)

    def recur_blocks(self, s: torch.Tensor, now) -> torch.Tensor:
        """:meth:`recur` with two steps per update; nothing enters behind a sequence's end."""
        (A, g, d), (a2, g1, d1) = self.discrete(), self.of_block()
        a_re, a_im, g_re, g_im, a2_re, a2_im, g1_re, g1_im = (
            part[..., None] for t in (A, g, a2, g1) for part in (t.real, t.imag))
        L, blocks = s.shape[1], -(-s.shape[1] // 2)
        s = nn.functional.pad(s, (0, 0, 0, 2 * blocks - L))
        stored = self._stored(blocks, s, now)
        h_re = h_im = s.new_zeros(*A.shape, s.shape[2])
        y = []
        for b in range(blocks):
            s1, s2 = s[:, 2 * b], s[:, 2 * b + 1]
            ahead, u1, u2 = (a_re * h_re - a_im * h_im).sum(1), s1[:, None], s2[:, None]
            if self.formats is not None:
                ahead = round_to(ahead, self.op.h.f_bits)
            re = torch.addcmul(torch.addcmul(g1_re * u1 + g_re * u2, a2_re, h_re), a2_im, h_im,
                               value=-1)
            im = torch.addcmul(torch.addcmul(g1_im * u1 + g_im * u2, a2_re, h_im), a2_im, h_re)
            h_re, h_im = stored(re, b, 0), stored(im, b, 1)
            if now.observe:
                now.see(self.op.state, torch.stack([h_re, h_im]))
            y += [ahead + d1[:, None] * s1, h_re.sum(1) + d[:, None] * s2]
        return torch.stack(y[:L], 1)

    def integers(self):
        A, op = self.discrete()[0], self.op
        made = {"a_re": raw(A.real, op.a_re.fmt), "a_im": raw(A.imag, op.a_re.fmt)}
        if op.block == 2:
            a2, g1, d1 = self.of_block()
            made |= {name: raw(value, op.tensors[name].fmt) for name, value in zip(
                op.OF_BLOCK, (a2.real, a2.imag, g1.real, g1.imag, d1))}
        return super().integers(**made)


MODULES[States] = MODULES[Future] = QuantStates
