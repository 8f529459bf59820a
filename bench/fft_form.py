"""The network of ``golden.model`` with an FFT convolution, for ``bench.train_speed``.

Everything but the convolution is the same code: the element-wise kernels and the mixer do not care
for the order of the columns, so here they are (B, L), the time innermost as an FFT wants it.
"""

import torch

from golden.model.columns import Columns
from golden.model.fused import program
from golden.model.network import Network
from golden.model.ops import Pass, States
from golden.model.ssm import kernel


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
        now = Pass(Columns(v, None, (L, 1)), v.dtype, v.dtype, self.cfg.sampling)
        values = {"x": self.encoder(v.reshape(-1), v.dtype)}
        for step in (step for block in (self.first, *self.blocks) for step in program(block)):
            if isinstance(getattr(step, "op", None), States):
                s = values["s_in"]
                y = fft_conv(s.view(-1, B, L), kernel(*step.op.discrete(), L))
                values["y"] = y.reshape(s.shape)
            else:
                step.run(values, now)
        return self.decoder(values["x"].view(-1, B, L).mean(2).T)
