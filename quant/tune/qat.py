"""The quantisation-aware model: the folded network in PyTorch on the integers' grids.

Two forms. ``convolution`` has every coefficient on its grid but no rounding of the state; it trains
in parallel over time. ``recurrence`` rounds and saturates the state at every step, with the LFSR's
words as uniform draws; in float64 it equals ``quant.integer.reference`` bit for bit, because every value is
an integer times a power of two that 53 bits hold. Without formats the same code is the folded
network in real numbers.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from golden import ops
from golden.network import Network
from golden.sampling import Draw
from golden.ssm import chunked_conv
from quant.integer import lfsr
from quant.tune.draws import LfsrDraws
from quant.tune.fit import NetworkFormats
from quant.lower.passes import Folded, FoldedLayer
from quant.formats import STREAMS
from quant.tune.qat_head import QuantHead
from quant.tune.quantizers import (fixed_quantizer, gelu, grid, linear, mixer_quantizer, round_to,
                              straight_through, unit_disc, weight_of)
from quant.integer.sampling import sampler_number

Observer = Callable[[int, int, torch.Tensor, torch.Tensor], None]


class QuantBlock(nn.Module):
    """One block's parameters, real; the properties give what the forward pass uses."""

    def __init__(self, layer: FoldedLayer, fmt):
        super().__init__()
        self.fmt = fmt
        A = torch.from_numpy(layer.A_bar)
        self.log_decay = nn.Parameter(torch.log(-torch.log(A.abs())))
        self.angle = nn.Parameter(A.angle())
        self.g_re = nn.Parameter(torch.from_numpy(layer.g.real.copy()))
        self.g_im = nn.Parameter(torch.from_numpy(layer.g.imag.copy()))
        for name in ("d", "b", "bias", "addend", "alpha", "beta"):
            self.register_parameter(name, nn.Parameter(torch.from_numpy(getattr(layer, name))))
        for name in ("a", "gain"):
            value = torch.from_numpy(getattr(layer, name))
            self.register_parameter(name, nn.Parameter(value) if len(value) else None)
        self.register_buffer("sign", torch.from_numpy(1.0 - 2.0 * layer.negate))
        quantizer = fmt and mixer_quantizer(fmt.w.width, fmt.p.f_bits)
        self.mixer = linear(torch.from_numpy(layer.W), quantizer)

    def has(self, name: str) -> bool:
        """Whether the block uses an optional tensor."""
        value = getattr(self, name)
        return value is not None and value.numel() > 0

    def on_grid(self, name: str, fmt_name: str | None = None) -> torch.Tensor:
        value = getattr(self, name)
        return grid(value, getattr(self.fmt, fmt_name or name)) if self.fmt else value

    def discrete(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A_bar, g (H, n) complex and d (H,)."""
        A = torch.exp(torch.complex(-torch.exp(self.log_decay), self.angle))
        if self.fmt:
            A = unit_disc(A, self.fmt.a_bar)
        g = torch.complex(self.on_grid("g_re", "g"), self.on_grid("g_im", "g"))
        return A, g, self.on_grid("d", "drive")

    def probability(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """p of the output sampler as (part, offset (H,)): y and b, or ``a GELU(y)`` and b."""
        b = self.on_grid("b", "drive")
        if not self.has("a"):
            return y, b
        y = gelu(y, self.fmt.h.f_bits) if self.fmt else F.gelu(y)
        return self.on_grid("a")[:, None] * y, b


class QuantNetwork(nn.Module):
    """The folded network; ``formats`` None leaves everything in real numbers."""

    def __init__(self, folded: Folded, formats: NetworkFormats | None = None):
        super().__init__()
        self.act, self.residual, self.vocab = folded.act, folded.residual, folded.vocab
        self.sampling, self.streams = folded.sampling, folded.residual in STREAMS
        self.formats = formats
        self.blocks = nn.ModuleList(
            QuantBlock(layer, formats and formats.layers[j])
            for j, layer in enumerate(folded.layers))
        enc_w = torch.from_numpy(folded.enc_w)
        if self.vocab:
            self.embedding = nn.Parameter(enc_w)
        else:
            self.encoder = linear(enc_w[:, None], formats and fixed_quantizer(formats.edge.enc_w))
            self.enc_b = nn.Parameter(torch.from_numpy(folded.enc_b))
        self.decoder = linear(torch.from_numpy(folded.dec_w),
                              formats and fixed_quantizer(formats.edge.dec_w))
        self.dec_b = nn.Parameter(torch.from_numpy(folded.dec_b))
        self.head = folded.head and QuantHead(folded.head, formats and formats.head)

    def stream_format(self):
        """Format of what flows between blocks: p, or x of a stream."""
        fmt = self.formats.layers[0]
        return fmt.x if self.streams else fmt.p

    def table(self) -> torch.Tensor:
        """The embedding (vocab, H) as used."""
        rows = self.embedding if self.streams else F.hardtanh(self.embedding, 0, 1)
        return grid(rows, self.stream_format()) if self.formats else rows

    def encode(self, v: torch.Tensor) -> torch.Tensor:
        """(N,) samples or tokens to the first block's input (H, N)."""
        if self.vocab:
            return self.table()[v].T
        w, b = weight_of(self.encoder), self.enc_b
        if self.formats:
            b = grid(b, self.formats.edge.enc_b)
        x = w * v + b[:, None]
        if self.formats:
            x = round_to(x, self.stream_format().f_bits)
        return self.limit(x)

    def limit(self, x: torch.Tensor) -> torch.Tensor:
        """The clamp of p to [0, 1], or the saturation of x."""
        if not self.streams:
            return F.hardtanh(x, 0, 1)
        if not self.formats:
            return x
        fmt = self.stream_format()
        return x.clamp(fmt.lo * 2.0 ** -fmt.f_bits, fmt.hi * 2.0 ** -fmt.f_bits)

    def sample(self, p, b, j: int, kind: int, chunks, draws) -> torch.Tensor:
        """Spikes of p + b, p (H, N) with columns as in ``golden.sampling.Draw``."""
        if draws is None:
            return ops.sample(p, b, Draw(self.sampling, sampler_number(j, kind), chunks))
        p = p + b[:, None]
        s = draws.spikes(p.detach().view(len(p), -1, chunks[2]), j, kind).view(p.shape)
        return straight_through(s, p.clamp(0, 1))

    def fuse(self, z, x, j: int, chunks, draws, masked: bool):
        """x of the next block, and its input spikes (None after the last block)."""
        block = self.blocks[j]
        bias, addend = block.on_grid("bias"), block.on_grid("addend")
        if (draws is None and not masked and ops.fusable(z) and self.act == "relu"
                and not self.streams and not block.has("gain")):
            stats = torch.zeros_like(bias), torch.ones_like(bias)
            return ops.fuse_relu(z, bias, block.sign, addend,
                                 x if self.residual == "clampfuse" else None, stats, 0.0,
                                 Draw(self.sampling, sampler_number(j + 1, lfsr.SAMPLER_IN),
                                      chunks))[:2]
        z = z + bias[:, None]
        if self.act == "relu":
            z = F.relu(z)
        elif self.act == "gelu":
            z = gelu(z, block.fmt.p.f_bits) if self.formats else F.gelu(z)
        z = block.sign[:, None] * z
        if self.residual == "plain":
            z = x + z
        if block.has("gain"):
            z = block.on_grid("gain")[:, None] * z
            z = round_to(z, block.fmt.p.f_bits) if self.formats else z
        z = z + addend[:, None]
        x = self.limit(x + z if self.residual == "clampfuse" else z)
        if j + 1 == len(self.blocks):
            return x, None
        return x, self.sample(*self.input_probability(x, j + 1), j + 1, lfsr.SAMPLER_IN, chunks,
                              draws)

    def input_probability(self, x: torch.Tensor, j: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(scaled x, offset) of block j's input sampler."""
        if not self.streams:
            return x, torch.zeros_like(x[:, 0])
        block = self.blocks[j]
        return x * block.on_grid("alpha")[:, None], block.on_grid("beta")

    def recur(self, s: torch.Tensor, j: int, draws, observe: Observer | None) -> torch.Tensor:
        """y (H, L, B) of spikes s (H, L, B), state by state; rounds and saturates with formats."""
        A, g, d = self.blocks[j].discrete()
        a_re, a_im, g_re, g_im = (t[..., None] for t in (A.real, A.imag, g.real, g.imag))
        L = s.shape[1]
        if self.formats:
            fmt = self.formats.layers[j].h
            one, stochastic = 2.0 ** fmt.f_bits, self.formats.rounding == "stochastic"
            if stochastic:
                dither = draws.rounding(j, L).to(s.dtype)[..., None]

        def stored(acc, t, part):
            if not self.formats:
                return acc
            raw = acc * one
            raw = torch.floor(raw + dither[t, part]) if stochastic else torch.round(raw)
            return straight_through(raw.clamp(fmt.lo, fmt.hi) / one, acc)

        h_re = h_im = s.new_zeros(*A.shape, s.shape[2])
        y = []
        for t in range(L):
            fired = s[:, t][:, None]                                       # (H, 1, B)
            re = torch.addcmul(torch.addcmul(g_re * fired, a_re, h_re), a_im, h_im, value=-1)
            im = torch.addcmul(torch.addcmul(g_im * fired, a_re, h_im), a_im, h_re)
            h_re, h_im = stored(re, t, 0), stored(im, t, 1)
            if observe is not None:
                observe(j, t, h_re, h_im)
            y.append(h_re.sum(1) + d[:, None] * s[:, t])
        return torch.stack(y, 1)

    def forward(self, v: torch.Tensor, lengths: torch.Tensor | None = None,
                form: str = "convolution", draws: LfsrDraws | None = None,
                record: list | None = None, observe: Observer | None = None) -> torch.Tensor:
        """Logits (B, classes) of samples (real) or tokens v (B, L).

        With a head rows are paired as in ``golden.network.Network.forward``.

        Parameters
        ----------
        lengths : (B,)
            Steps that count; None: all of them.
        form
            ``convolution`` or ``recurrence``.
        draws
            For the recurrence. None: PyTorch's generator, and a recurrence rounds to nearest.
        record : list
            Gets one dict per block with the (B, L, H) tensors ``x`` (the block's input), ``s_in``,
            ``p``, ``s_out``, and one with the last block's ``x``.
        observe
            Called with (layer, step, Re h, Im h), both (H, n, B), after every step of a recurrence.
        """
        if form not in ("convolution", "recurrence"):
            raise ValueError(f"form must be convolution or recurrence, not {form!r}")
        if draws is not None and form != "recurrence":
            raise ValueError("an artifact's draws are for the recurrence")
        B, L = v.shape
        C, M = (L, 1) if form == "recurrence" else Network.chunks(L)
        chunks = C, M, B
        if lengths is None and C * M != L:
            lengths = torch.full((B,), L)
        v = F.pad(v, (0, C * M - L)).reshape(B, M, C).permute(2, 1, 0).reshape(-1)
        x = self.encode(v)
        masked = lengths is not None
        if masked:
            t = torch.arange(C)[:, None, None] + C * torch.arange(M)[None, :, None]
            valid = (t < lengths).reshape(-1).to(x.dtype)                   # (N,)

        def keep(**tensors):
            record.append({name: t.detach().reshape(-1, C, M, B).permute(3, 2, 1, 0)
                           .reshape(B, M * C, -1)[:, :L] for name, t in tensors.items()})

        s = self.sample(*self.input_probability(x, 0), 0, lfsr.SAMPLER_IN, chunks, draws)
        for j, block in enumerate(self.blocks):
            s_in = s * valid if masked else s
            if form == "convolution":
                y = chunked_conv(s_in.view(-1, C, M, B), *block.discrete()).reshape(s.shape)
            else:
                y = self.recur(s_in.view(-1, L, B), j, draws, observe).reshape(s.shape)
            p, b = block.probability(y)
            s_out = self.sample(p, b, j, lfsr.SAMPLER_OUT, chunks, draws)
            if record is not None:
                keep(x=x, s_in=s_in, p=p + b[:, None], s_out=s_out)
            x, s = self.fuse(weight_of(block.mixer) @ s_out, x, j, chunks, draws, masked)
        if record is not None:
            keep(x=x)
        total = (x * valid if masked else x).view(len(x), -1, B).sum(1)       # (H, B)
        steps = lengths.to(x.dtype)[:, None] if masked else L
        b = self.dec_b
        if self.formats:
            b = grid(b, self.formats.edge.dec_b)
        mean = (total.T @ weight_of(self.decoder).T + steps * b) / steps
        return mean if self.head is None else self.head(mean)
