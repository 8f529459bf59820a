"""The released code's form of a training step, for ``bench.train_speed``.

Its layout and its operations, one PyTorch call each: streams (B, L, H), a DPLR kernel made anew
each step, convolution by FFT on (B, H, L), batch norm, samplers from ``torch.rand``, GELU in front
of the sampler and in the mixer. Causal, so that it computes as much as the others; the kernel comes
from ``golden.model.dplr.generate``, which is faster than the released code's.
"""

import torch
import torch.nn.functional as F
from torch import nn

from golden.model.config import NetworkConfig, ReleasedConfig
from golden.model.dplr import DPLR, generate


class Convolution(nn.Module):
    """The SSM of one block on (B, H, L), float32."""

    def __init__(self, H: int, d_state: int):
        super().__init__()
        self.ssm = DPLR(ReleasedConfig(n_classes=1, d_model=H, d_state=d_state, shared_A=True),
                        scaled=False)

    def forward(self, s: torch.Tensor) -> torch.Tensor:
        ssm, L = self.ssm, s.shape[2]
        eigenvalues = torch.complex(-torch.exp(ssm.log_A_re), -ssm.A_im)
        K, = generate(L, eigenvalues, F.softplus(ssm.inv_dt), *(
            torch.view_as_complex(pair) for pair in (ssm.B, ssm.P, ssm.C)))
        spectrum = torch.fft.rfft(K, n=2 * L)
        y = torch.fft.irfft(torch.fft.rfft(s, n=2 * L) * spectrum, n=2 * L)[..., :L]
        return y + ssm.D[:, None] * s


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx, p):
        ctx.save_for_backward(p)
        return (p > torch.rand_like(p)).to(p.dtype)

    @staticmethod
    def backward(ctx, ds):
        p, = ctx.saved_tensors
        return ds * ((p >= 0) & (p <= 1))


class Block(nn.Module):
    """Norm, sampler, SSM, GELU, sampler, mixer."""

    def __init__(self, H: int, d_state: int):
        super().__init__()
        self.norm, self.mixer = nn.BatchNorm1d(H), nn.Linear(H, H)
        self.conv = Convolution(H, d_state)
        self.inp_a, self.inp_b = nn.Parameter(torch.ones(H)), nn.Parameter(torch.zeros(H))
        self.out_a, self.out_b = nn.Parameter(torch.ones(H)), nn.Parameter(torch.zeros(H))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, L, H) to (B, L, H)."""
        x = self.norm((self.inp_a * x + self.inp_b).transpose(1, 2)).transpose(1, 2)
        v = self.conv(_Sample.apply(x).transpose(1, 2)).transpose(1, 2)
        return F.gelu(self.mixer(_Sample.apply(self.out_a * F.gelu(v) + self.out_b)))


class Network(nn.Module):
    """Encoder, blocks without residual (the psMNIST configuration), norm, mean, decoder."""

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        H = cfg.d_model
        self.encoder, self.decoder = nn.Linear(1, H), nn.Linear(H, cfg.n_classes)
        self.blocks = nn.Sequential(*(Block(H, cfg.d_state) for _ in range(cfg.n_blocks)))
        self.norm = nn.BatchNorm1d(H)

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """Logits (B, classes) of samples (B, L)."""
        x = self.blocks(self.encoder(v[..., None]))
        return self.decoder(self.norm(x.transpose(1, 2)).mean(2))
