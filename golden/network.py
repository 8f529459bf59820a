"""The whole network: encoder, blocks of sampler, SSM, sampler, mixer and fuse, decoder."""

import math

import torch
from torch import nn

from golden import ops
from golden.columns import Columns
from golden.config import NetworkConfig
from golden.fuse import Fuse
from golden.pair import PairHead
from golden.sampling import Draw
from golden.ssm import make_ssm


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


class Block(nn.Module):
    """SSM, output sampler and mixer weights; ``Fuse`` closes the block."""

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        H = cfg.d_model
        self.ssm = make_ssm(cfg)
        self.b = nn.Parameter(torch.full((H,), 0.3))        # out-affine bias of the sampler
        self.mixer = nn.Linear(H, H)
        self.fuse = Fuse(cfg)
        self.gelu = cfg.gelu_before_sampler


class Network(nn.Module):
    """P-SpikeSSM classifier.

    Inside, tensors are (H, N) with N = time x batch, time cut into M chunks of C steps in the
    order (C, M, B) that ``golden.ssm.chunked_conv`` wants.
    """

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        self.cfg = cfg
        self.encoder = Encoder(cfg)
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.n_blocks))
        self.decoder = nn.Linear(cfg.d_model, cfg.features if cfg.pair else cfg.n_classes)
        self.head = PairHead(cfg.features, cfg.n_classes) if cfg.pair else None
        self.input_gamma = nn.Parameter(torch.ones(cfg.d_model))    # first norm, residual = plain
        self.input_beta = nn.Parameter(torch.zeros(cfg.d_model))

    def norms(self) -> list[Fuse]:
        """What has batch norms, in the order of the forward pass."""
        return [block.fuse for block in self.blocks]

    @staticmethod
    def chunks(L: int) -> tuple[int, int]:
        """(C, M) with C M >= L: the least padding for C near 56, measured fastest."""
        return min(((C, math.ceil(L / C)) for C in range(min(L, 48), min(L, 72) + 1)),
                   key=lambda cm: (cm[0] * cm[1], abs(cm[0] - 56)))

    def forward(self, v: torch.Tensor, lengths: torch.Tensor | None = None,
                dtype: torch.dtype | None = None, record: list | None = None) -> torch.Tensor:
        """Logits (B, classes) of samples or tokens v (B, L).

        With ``pair`` row k and row k + B / 2 belong together and there are B / 2 logits.

        Parameters
        ----------
        lengths : (B,)
            Steps that count; the mean over time leaves the rest out. None: all of them.
        dtype
            Of the large tensors; bfloat16 for speed on processors with AMX. None: v's, or the
            parameters' for tokens.
        record : list
            Gets one dict per block with the (B, L, H) tensors ``s_in``, ``p``, ``s_out``.
        """
        columns = Columns(v, lengths, self.chunks(v.shape[1]))
        own = self.decoder.weight.dtype
        if dtype is None:
            dtype = own if self.cfg.vocab else v.dtype
        valid = columns.valid(own)
        draws = [Draw(self.cfg.sampling, number, columns.shape)
                 for number in range(2 * len(self.blocks) + 1)]
        x = self.encoder(columns.of(v), dtype)                               # (H, N)
        if self.cfg.residual == "plain":
            s = ops.sample(x * self.input_gamma.to(dtype)[:, None], self.input_beta, draws[0])
        else:
            x = nn.functional.hardtanh(x, 0, 1)    # a clamp whose gradient is one pass
            s = ops.sample(x, torch.zeros_like(self.input_beta), draws[0])
        for k, block in enumerate(self.blocks):
            s_in = s if valid is None else s * valid.to(dtype)
            y = block.ssm(s_in.view(-1, *columns.shape)).reshape(s.shape)
            if block.gelu:
                y = nn.functional.gelu(y)
            s_out = ops.sample(y, block.b, draws[2 * k + 1])
            z = block.mixer.weight.to(dtype) @ s_out
            if record is not None:
                p = (y.float() + block.b[:, None]).clamp(0, 1)
                record.append({name: columns.rows(t.detach())
                               for name, t in (("s_in", s_in), ("p", p), ("s_out", s_out))})
            x, s = block.fuse(z, block.mixer.bias, x, valid, draws[2 * k + 2])
        decoded = self.decoder(columns.mean(x, own))
        return decoded if self.head is None else self.head(decoded)

    @torch.no_grad()
    def calibrate(self, v: torch.Tensor, lengths: torch.Tensor | None = None,
                  mean: float = 0.3, std: float = 0.3) -> None:
        """Set scale and bias of every output sampler so that p has this mean and deviation.

        First the encoder, then one block after the other, from one batch: the data-dependent
        start of training.
        """
        self.encoder.calibrate(v, lengths)
        for k, block in enumerate(self.blocks):
            block.ssm.a.fill_(1.0)
            block.b.zero_()
            seen = []
            hook = block.ssm.register_forward_hook(lambda *args: seen.append(args[2]))
            self(v, lengths)
            hook.remove()
            y = seen[0].flatten(1)
            block.ssm.a.copy_(std / y.std(1).clamp(min=1e-3))
            block.b.copy_(mean - block.ssm.a * y.mean(1))

    def parameter_count(self) -> int:
        """Trained real numbers that the forward pass uses; a complex one counts two."""
        # the norm at the input, or with residual = plain the one behind the last block
        return sum(p.numel() for p in self.parameters()) - 2 * self.cfg.d_model
