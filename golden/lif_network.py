"""The P-SpikeSSM network with leaky integrate-and-fire neurons in place of its samplers.

Encoder, mixer, fuse and decoder are those of ``golden.network``. One block, p its clamped input:

    s_in  = LIF(p),   s_out = LIF(a y + b),   p_next, as there, from the mixer's sum of s_out

``lif_drive`` of the configuration says what y is: ``ssm``, the SSM's output, as in the comparison of
Figure 2 of Bal & Sengupta, which differs from P-SpikeSSM in the sampler alone; or ``spikes``, the
spike train s_in itself, so that the membrane is a neuron's only memory: a plain spiking network.
"""

import math

import torch
from torch import nn

from golden.columns import Columns
from golden.config import NetworkConfig
from golden.fuse import Fuse
from golden.lif import lif
from golden.network import Encoder, Network
from golden.sampling import Draw
from golden.ssm import make_ssm

MEAN = Draw("mean")         # fuse hands on the probability itself


class LIFNeurons(nn.Module):
    """A population of H neurons; ``log_dt`` is minus the logarithm of the time constant in steps.

    The decay is ``exp(-dt)``; dt starts between ``dt_min`` and ``dt_max``, as that of an SSM does.
    """

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        low, high = math.log(cfg.dt_min), math.log(cfg.dt_max)
        self.log_dt = nn.Parameter(low + torch.rand(cfg.d_model) * (high - low))
        self.options = (cfg.lif_threshold, cfg.lif_reset == "subtract", cfg.surrogate,
                        cfg.surrogate_width, cfg.lif_reset_gradient)

    def forward(self, x: torch.Tensor, chunks: tuple[int, int, int]
                ) -> tuple[torch.Tensor, torch.Tensor]:
        """Spikes (in the dtype of x) and membranes over threshold for a drive x, all (H, N)."""
        own = self.log_dt.dtype
        s, u = lif(x.to(own), torch.exp(-torch.exp(self.log_dt)), *self.options, chunks)
        return s.to(x.dtype), u / self.options[0]


class LIFBlock(nn.Module):
    """Input neurons, SSM if there is one, output neurons and mixer; ``Fuse`` closes the block."""

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        H = cfg.d_model
        self.neurons_in, self.neurons_out = LIFNeurons(cfg), LIFNeurons(cfg)
        self.ssm = make_ssm(cfg, scaled=False) if cfg.lif_drive == "ssm" else None
        self.a = nn.Parameter(torch.randn(H))
        self.b = nn.Parameter(torch.zeros(H))
        self.mixer = nn.Linear(H, H)
        self.fuse = Fuse(cfg)

    def drive(self, s: torch.Tensor, chunks: tuple[int, int, int]) -> torch.Tensor:
        """``a y + b`` of the output neurons for input spikes s (H, N)."""
        y = s if self.ssm is None else self.ssm(s.view(-1, *chunks)).reshape(s.shape)
        return torch.addcmul(self.b.to(s.dtype)[:, None], self.a.to(s.dtype)[:, None], y)


class LIFNetwork(nn.Module):
    """Classifier with LIF neurons; interface of ``golden.network.Network``."""

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        self.cfg = cfg
        self.encoder = Encoder(cfg)
        self.blocks = nn.ModuleList(LIFBlock(cfg) for _ in range(cfg.n_blocks))
        self.decoder = nn.Linear(cfg.d_model, cfg.n_classes)
        self.input_gamma = nn.Parameter(torch.ones(cfg.d_model))    # first norm, residual = plain
        self.input_beta = nn.Parameter(torch.zeros(cfg.d_model))

    def norms(self) -> list[Fuse]:
        """What has batch norms, in the order of the forward pass."""
        return [block.fuse for block in self.blocks]

    def forward(self, v: torch.Tensor, lengths: torch.Tensor | None = None,
                dtype: torch.dtype | None = None, record: list | None = None) -> torch.Tensor:
        """Logits (B, classes) of samples or tokens v (B, L).

        Parameters
        ----------
        lengths : (B,)
            Steps that count; the mean over time leaves the rest out. None: all of them.
        dtype
            Of the large tensors; None: v's, or the parameters' for tokens. Membranes are kept in
            the parameters'.
        record : list
            Gets one dict per block with the (B, L, H) tensors ``s_in``, ``s_out`` and ``membrane``,
            that of the output neurons before the reset, in units of the threshold.
        """
        own = self.decoder.weight.dtype
        if dtype is None:
            dtype = own if self.cfg.vocab else v.dtype
        columns = Columns(v, lengths, Network.chunks(v.shape[1]))
        valid, chunks = columns.valid(own), columns.shape
        x = self.encoder(columns.of(v), dtype)                              # (H, N)
        if self.cfg.residual == "plain":
            p = torch.addcmul(self.input_beta.to(dtype)[:, None],
                              self.input_gamma.to(dtype)[:, None], x).clamp(0, 1)
        else:
            p = x = x.clamp(0, 1)
        for block in self.blocks:
            s_in, _ = block.neurons_in(p, chunks)
            if valid is not None:
                s_in = s_in * valid.to(dtype)
            s_out, membrane = block.neurons_out(block.drive(s_in, chunks), chunks)
            if record is not None:
                record.append({name: columns.rows(t.detach()) for name, t in (
                    ("s_in", s_in), ("s_out", s_out), ("membrane", membrane))})
            z = block.mixer.weight.to(dtype) @ s_out
            x, p = block.fuse(z, block.mixer.bias, x, valid, MEAN)
        return self.decoder(columns.mean(x, own))

    @torch.no_grad()
    def calibrate(self, v: torch.Tensor, lengths: torch.Tensor | None = None,
                  rate: float = 0.3) -> None:
        """Set a and b of the output neurons: spikes in about this share of steps.

        The drive gets a deviation of ``rate`` (a keeps its sign), then b follows the error of the
        measured rate. One block after the other, from one batch: the data-dependent start.
        """
        self.encoder.calibrate(v, lengths)
        for block in self.blocks:
            seen = []
            hook = block.neurons_out.register_forward_pre_hook(lambda _, args: seen.append(args))
            block.b.zero_()
            self(v, lengths)
            hook.remove()
            drive, chunks = seen[0]
            size = rate / drive.std(1).clamp(min=1e-3)
            block.a *= size
            drive = drive * size[:, None]
            for _ in range(8):
                spikes, _ = block.neurons_out(drive + block.b[:, None], chunks)
                block.b += rate - spikes.mean(1)

    def parameter_count(self) -> int:
        """Trained real numbers that the forward pass uses; a complex one counts two."""
        # the norm at the input, or with residual = plain the one behind the last block
        return sum(p.numel() for p in self.parameters()) - 2 * self.cfg.d_model
