"""Networks whose blocks pass a real-valued stream: Binary S4D, GSU, and the non-spiking S4D.

One block, with u the SSM's real input and x the stream:

    u = norm(x),  y = SSM(u),  a = H(y) or GELU(y),  x <- [x +] mixer(a)        (norm in front)
    u = x,        y = SSM(u),  a = H(y) or GELU(y),  x <- norm([x +] mixer(a))  (norm behind)

With the norm in front there is one more behind the last block (batch norm: an affine map that
folds into the decoder). Neuron and mixer:

* ``heaviside`` and ``glu``: Binary S4D (``golden.binary_s4d``);
* ``gelu`` and ``gsu``: the gated spiking unit (``golden.gsu``);
* ``gelu`` and ``linear`` or ``glu``: S4D without spikes, of equal size: the energy baseline.
"""

import torch
import torch.nn.functional as F
from torch import nn

from golden.binary_s4d import GatedLinearUnit, heaviside
from golden.columns import Columns
from golden.config import NetworkConfig
from golden.fuse import ACTIVATIONS
from golden.gsu import GatedSpikingUnit
from golden.network import Encoder, Network
from golden.ssm import DiagonalSSM
from golden.stream_norm import StreamNorm


class LinearMixer(nn.Module):
    """``act(W y + b)`` on (H, N), act as in P-SpikeSSM's mixer."""

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        self.value = nn.Linear(cfg.d_model, cfg.d_model)
        self.act = ACTIVATIONS[cfg.act]

    def events(self, y: torch.Tensor) -> torch.Tensor:
        return y

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return self.act(torch.addmm(self.value.bias.to(y.dtype)[:, None],
                                    self.value.weight.to(y.dtype), y))


MIXERS = {"linear": LinearMixer, "glu": GatedLinearUnit, "gsu": GatedSpikingUnit}


class GatedBlock(nn.Module):
    """Norm, SSM and mixer of one block; its neuron has no parameters."""

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        self.norm = StreamNorm(cfg)
        self.ssm = DiagonalSSM(cfg, scaled=False)
        nn.init.normal_(self.ssm.D)         # as in S4D
        self.mixer = MIXERS[cfg.mixer](cfg)


class GatedNetwork(nn.Module):
    """Classifier of real-valued streams; layout and interface of ``golden.network.Network``."""

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        self.cfg = cfg
        self.encoder = Encoder(cfg)
        self.blocks = nn.ModuleList(GatedBlock(cfg) for _ in range(cfg.n_blocks))
        self.prenorm = cfg.norm_position == "pre"
        if self.prenorm:
            self.last_norm = StreamNorm(cfg)
        self.decoder = nn.Linear(cfg.d_model, cfg.n_classes)

    def norms(self) -> list[StreamNorm]:
        """All norms in the order of the forward pass."""
        norms = [block.norm for block in self.blocks]
        return norms + [self.last_norm] if self.prenorm else norms

    def neuron(self, y: torch.Tensor) -> torch.Tensor:
        if self.cfg.neuron == "gelu":
            return F.gelu(y)
        return heaviside(y, self.cfg.surrogate, self.cfg.surrogate_width, self.cfg.fires_at_zero)

    def forward(self, v: torch.Tensor, lengths: torch.Tensor | None = None,
                dtype: torch.dtype | None = None, record: list | None = None) -> torch.Tensor:
        """Logits (B, classes) of samples or tokens v (B, L).

        Parameters
        ----------
        lengths : (B,)
            Steps that count; the mean over time leaves the rest out. None: all of them.
        dtype
            Of the large tensors; None: v's, or the parameters' for tokens.
        record : list
            Gets one dict per block with the (B, L, H) tensors ``u``, ``y`` and ``s_out``: bits,
            ternary values or, in a network without spikes, activations.
        """
        own = self.decoder.weight.dtype
        if dtype is None:
            dtype = own if self.cfg.vocab else v.dtype
        columns = Columns(v, lengths, Network.chunks(v.shape[1]))
        valid = columns.valid(own)
        x = self.encoder(columns.of(v), dtype)                                # (H, N)
        for block in self.blocks:
            u = block.norm(x, valid) if self.prenorm else x
            u = u if valid is None else u * valid.to(dtype)
            y = block.ssm(u.reshape(-1, *columns.shape)).reshape(x.shape)
            active = self.neuron(y)
            if record is not None:
                record.append({name: columns.rows(t.detach()) for name, t in (
                    ("u", u), ("y", y), ("s_out", block.mixer.events(active)))})
            z = block.mixer(active)
            if self.cfg.dropout:
                z = F.dropout(z, self.cfg.dropout, self.training)
            x = z if self.cfg.residual == "none" else x + z
            if not self.prenorm:
                x = block.norm(x, valid)
        if self.prenorm:
            x = self.last_norm(x, valid)
        return self.decoder(columns.mean(x, own))

    @torch.no_grad()
    def calibrate(self, v: torch.Tensor, lengths: torch.Tensor | None = None) -> None:
        """Scale C and D of every neuron so that its SSM's output has a deviation of 1.

        One block after the other, from one batch: the data-dependent start of training.
        """
        was_training = self.training
        self.train()                        # norms take the batch's own statistics
        for block in self.blocks:
            seen = []
            hook = block.ssm.register_forward_hook(lambda *args: seen.append(args[2]))
            self(v, lengths)
            hook.remove()
            size = seen[0].flatten(1).std(1).clamp(min=1e-3)
            block.ssm.C /= size[:, None, None]
            block.ssm.D /= size
            if block.ssm.two_sided:
                block.ssm.C_future /= size[:, None, None]
        self.train(was_training)

    def parameter_count(self) -> int:
        """Trained real numbers; a complex one counts two."""
        return sum(p.numel() for p in self.parameters())
