"""The quantisation-aware model of Binary S4D and GSU: the folded network on the integers' grids.

As ``quant.tune.qat``: the ``convolution`` form trains in parallel and does not round states; the
``recurrence`` makes every rounding and in float64 equals ``quant.gated_reference`` bit for bit.
Without formats the same code is the folded network in real numbers.
"""

import torch
import torch.nn.functional as F
from torch import nn

from golden.binary_s4d import heaviside
from golden.gsu import ternary
from golden.network import Network
from golden.ssm import chunked_conv
from quant.tune.draws import LfsrDraws
from quant.formats import THRESHOLD
from quant.gated_fold import GatedFolded, GatedFoldedLayer
from quant.gated_formats import GatedNetworkFormats
from quant.gated_tables import TABLES
from quant.tune.qat import Observer, QuantBlock, QuantNetwork
from quant.tune.quantizers import (fixed_quantizer, grid, linear, mixer_quantizer, straight_through,
                              weight_of)


class GatedQuantBlock(nn.Module):
    """One block's parameters, real, and what the forward pass makes of them."""

    on_grid, discrete = QuantBlock.on_grid, QuantBlock.discrete

    def __init__(self, layer: GatedFoldedLayer, fmt, mixer: str, threshold: float):
        super().__init__()
        self.fmt, self.gsu, self.threshold = fmt, mixer == "gsu", threshold
        A = torch.from_numpy(layer.A_bar)
        self.log_decay = nn.Parameter(torch.log(-torch.log(A.abs())))
        self.angle = nn.Parameter(A.angle())
        self.g_re = nn.Parameter(torch.from_numpy(layer.g.real.copy()))
        self.g_im = nn.Parameter(torch.from_numpy(layer.g.imag.copy()))
        for name in ("d", "alpha", "beta", "bias", "gate_bias"):
            self.register_parameter(name, nn.Parameter(torch.from_numpy(getattr(layer, name))))
        self.mixer = linear(torch.from_numpy(layer.W), self._rows(fmt and fmt.bias))
        self.gate = linear(torch.from_numpy(layer.gate_W),
                           None if self.gsu else self._rows(fmt and fmt.gate_bias))
        if fmt:
            raws = TABLES[mixer](fmt.index, fmt.table)
            self.register_buffer("table", torch.from_numpy(raws * 2.0 ** -fmt.table.f_bits))

    def _rows(self, bias_fmt):
        return bias_fmt and mixer_quantizer(self.fmt.w.width, bias_fmt.f_bits)

    def gate_weight(self) -> torch.Tensor:
        """As used: gsu's is ternary, its threshold over the whole matrix."""
        return ternary(self.gate.weight, self.threshold) if self.gsu else weight_of(self.gate)

    def rounded(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """Rounded and saturated to the format ``name``."""
        return grid(x, getattr(self.fmt, name)) if self.fmt else x

    def normalise(self, x: torch.Tensor, name: str) -> torch.Tensor:
        alpha, beta = self.on_grid("alpha"), self.on_grid("beta")
        return self.rounded(alpha[:, None] * x + beta[:, None], name)

    def look_up(self, index: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """The table at an index on its grid, with the gradient of ``real``."""
        fmt = self.fmt.index
        at = (index.detach() * 2.0 ** fmt.f_bits).to(torch.int64) - fmt.lo
        return straight_through(self.table[at].to(real.dtype), real)

    def gelu(self, y: torch.Tensor) -> torch.Tensor:
        y = self.rounded(y, "y")
        z = F.gelu(y)
        if not self.fmt:
            return z
        rest = self.look_up(grid(y.abs(), self.fmt.index), F.relu(y) - z)
        return straight_through(F.relu(y) - rest, z)

    def factors(self, y: torch.Tensor, folded: GatedFolded):
        """(s, n, gate) of the SSM's output, all (H, N)."""
        if self.gsu:
            z = self.gelu(y)
            threshold = self.threshold
            if self.fmt:
                threshold = min(round(threshold * 2 ** THRESHOLD.f_bits), THRESHOLD.hi)
                threshold *= 2.0 ** -THRESHOLD.f_bits
            s = ternary(z, threshold, dim=0)
        else:
            s = z = heaviside(y, folded.surrogate, folded.surrogate_width,
                              folded.fires_at_zero)
        n = self.rounded(weight_of(self.mixer) @ s + self.on_grid("bias")[:, None], "n")
        m = self.gate_weight() @ z + self.on_grid("gate_bias")[:, None]
        if self.gsu:
            return s, n, self.rounded(m, "gate")
        gate = torch.sigmoid(m)
        return s, n, self.look_up(self.rounded(m, "index"), gate) if self.fmt else gate


class GatedQuantNetwork(nn.Module):
    """The folded network; ``formats`` None leaves everything in real numbers."""

    recur = QuantNetwork.recur      # the same recurrence; what enters it is real here

    def __init__(self, folded: GatedFolded, formats: GatedNetworkFormats | None = None):
        super().__init__()
        self.folded, self.formats, self.vocab = folded, formats, folded.vocab
        self.blocks = nn.ModuleList(
            GatedQuantBlock(layer, formats and formats.layers[j], folded.mixer, folded.threshold)
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

    def encode(self, v: torch.Tensor) -> torch.Tensor:
        """(N,) samples or tokens to the stream (H, N)."""
        if self.vocab:
            return self.blocks[0].rounded(self.embedding, "x")[v].T
        b = grid(self.enc_b, self.formats.edge.enc_b) if self.formats else self.enc_b
        return self.blocks[0].rounded(weight_of(self.encoder) * v + b[:, None], "x")

    def forward(self, v: torch.Tensor, lengths: torch.Tensor | None = None,
                form: str = "convolution", draws: LfsrDraws | None = None,
                record: list | None = None, observe: Observer | None = None) -> torch.Tensor:
        """Logits (B, classes) of samples (real) or tokens v (B, L).

        Parameters
        ----------
        lengths : (B,)
            Steps that count; None: all of them.
        form
            ``convolution`` or ``recurrence``.
        draws
            For the recurrence, its stochastic rounding.
        record : list
            Gets one dict per block with the (B, L, H) tensors ``u``, ``y``, ``s``, ``n``, ``gate``,
            ``fused`` (before a norm behind) and ``x`` (the block's output), and one with the
            encoder's ``x``.
        observe
            Called with (layer, step, Re h, Im h), both (H, n, B), after every step of a recurrence.
        """
        if form not in ("convolution", "recurrence"):
            raise ValueError(f"form must be convolution or recurrence, not {form!r}")
        B, L = v.shape
        C, M = (L, 1) if form == "recurrence" else Network.chunks(L)
        if lengths is None and C * M != L:
            lengths = torch.full((B,), L)
        v = F.pad(v, (0, C * M - L)).reshape(B, M, C).permute(2, 1, 0).reshape(-1)
        x = self.encode(v)
        valid = None
        if lengths is not None:
            t = torch.arange(C)[:, None, None] + C * torch.arange(M)[None, :, None]
            valid = (t < lengths).reshape(-1).to(x.dtype)                   # (N,)

        def keep(**tensors):
            if record is not None:
                record.append({name: t.detach().reshape(-1, C, M, B).permute(3, 2, 1, 0)
                               .reshape(B, M * C, -1)[:, :L] for name, t in tensors.items()})

        first, folded = x, self.folded
        for j, block in enumerate(self.blocks):
            u = block.normalise(x, "u") if folded.norm_position == "pre" else x
            u = u if valid is None else u * valid
            if form == "convolution":
                y = chunked_conv(u.view(-1, C, M, B), *block.discrete()).reshape(u.shape)
            else:
                y = self.recur(u.view(-1, L, B), j, draws, observe).reshape(u.shape)
            s, n, gate = block.factors(y, folded)
            x = fused = block.rounded(n * gate if folded.residual == "none" else x + n * gate, "x")
            if folded.norm_position == "post":
                x = block.normalise(x, "x")
            keep(u=u, y=y, s=s, n=n, gate=gate, fused=fused, x=x)
        keep(x=first)
        total = (x if valid is None else x * valid).view(len(x), -1, B).sum(1)      # (H, B)
        steps = L if lengths is None else lengths.to(x.dtype)[:, None]
        b = grid(self.dec_b, self.formats.edge.dec_b) if self.formats else self.dec_b
        return (total.T @ weight_of(self.decoder).T + steps * b) / steps
