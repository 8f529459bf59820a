"""The encoder: samples or tokens to the first block's input."""

import torch
from torch import nn

from golden.model.config import NetworkConfig


class Encoder(nn.Module):
    """Sample in [-1, 1] or token to the first block's input, ``x[i] = w[i] v + b[i]`` or a row.

    The affine start values are thresholds spread over the neurons, so that the population codes
    a sample in [0, 1] before anything is learnt; :meth:`calibrate` fits them to signed samples.
    """

    NARROWEST = 1 / 32      # of the samples' range, from p = 0 to p = 1 of a calibrated neuron

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        H = cfg.d_model
        if cfg.vocab:
            self.weight = nn.Parameter(torch.rand(cfg.vocab, H))
        else:
            self.weight = nn.Parameter(1 + torch.rand(H))
            self.bias = nn.Parameter(-(self.weight.detach() - 1) * torch.rand(H))
        self.tokens = bool(cfg.vocab)
        if cfg.family == "released":
            self._start_as_released()

    def forward(self, v: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """(N,) samples or tokens to (H, N).

        Rows of the embedding are taken by a product, whose gradient is summed in float32.
        """
        if self.tokens:
            tokens = torch.arange(len(self.weight), device=v.device)
            return self.weight.to(dtype).T @ (v == tokens[:, None]).to(dtype)
        return torch.addcmul(self.bias.to(dtype)[:, None], self.weight.to(dtype)[:, None],
                             v.to(dtype))

    @torch.no_grad()
    def calibrate(self, v: torch.Tensor, lengths: torch.Tensor | None = None) -> None:
        """Thresholds for signed samples v (B, L): the start's, as shares of the samples seen.

        A neuron whose p would go from 0 at sample r0 to 1 at sample r1 of [0, 1] does so between
        the quantiles r0 and r1; every second one falls from 1 to 0 there. Samples without a
        negative one, and tokens, change nothing. For a new network, once.
        """
        if self.tokens or v.min() >= 0:
            return
        if lengths is not None:
            v = v[torch.arange(v.shape[1], device=v.device) < lengths[:, None]]
        ordered = v.flatten().sort().values.to(self.weight.dtype)
        w, b = self.weight, self.bias
        low, high = (ordered[(share.clamp(0, 1) * (len(ordered) - 1)).long()]
                     for share in (-b / w, (1 - b) / w))
        least = self.NARROWEST * (ordered[-1] - ordered[0])
        slope = 1 / torch.maximum(high - low, least)
        slope[1::2] *= -1
        b.copy_(0.5 - slope * (low + high) / 2)
        w.copy_(slope)

    def _start_as_released(self) -> None:
        """Start values of torch's Embedding and Linear, as in the released code."""
        if self.tokens:
            nn.init.normal_(self.weight)
            return
        nn.init.uniform_(self.weight, -1, 1)
        nn.init.uniform_(self.bias, -1, 1)
