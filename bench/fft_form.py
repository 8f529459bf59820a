"""The network of ``golden.network`` with an FFT convolution, for ``bench.train_speed``.

Everything but the convolution is the same code: the element-wise kernels and the mixer do not care
for the order of the columns, so here they are (B, L), the time innermost as an FFT wants it.
"""

import torch
from torch import nn

from golden import ops
from golden.network import Network
from golden.sampling import Draw
from golden.ssm import kernel


def fft_conv(s: torch.Tensor, K: torch.Tensor) -> torch.Tensor:
    """Causal convolution of s (H, B, L) with K (H, L) by transforms of length 2 L."""
    L = s.shape[-1]
    spectrum = torch.fft.rfft(s, n=2 * L) * torch.fft.rfft(K, n=2 * L)[:, None]
    return torch.fft.irfft(spectrum, n=2 * L)[..., :L]


class FFTNetwork(Network):
    """Network on full sequences, causal, without ``plain`` residual; float32."""

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """Logits (B, classes) of samples (B, L)."""
        B, L = v.shape
        draw = Draw(self.cfg.sampling)
        x = nn.functional.hardtanh(self.encoder(v.reshape(-1), v.dtype), 0, 1)
        s = ops.sample(x, torch.zeros_like(self.input_beta), draw)
        for block in self.blocks:
            y = fft_conv(s.view(-1, B, L), kernel(*block.ssm.discrete(), L)).reshape(s.shape)
            z = block.mixer.weight @ ops.sample(y, block.b, draw)
            x, s = block.fuse(z, block.mixer.bias, x, None, draw)
        return self.decoder(x.view(-1, B, L).mean(2).T)
