"""The whole network: encoder, blocks of sampler, SSM, sampler, mixer and fuse, decoder."""

import math

import torch
from torch import nn

from golden import ops
from golden.columns import Columns
from golden.config import NetworkConfig
from golden.fuse import Fuse
from golden.sampling import Draw
from golden.ssm import make_ssm


class Encoder(nn.Module):
    """Sample in [0, 1] or token to the first block's input, ``x[i] = w[i] v + b[i]`` or a row.

    The affine start values are thresholds spread over the neurons, so that the population codes
    the sample before anything is learnt.
    """

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
        self.decoder = nn.Linear(cfg.d_model, cfg.n_classes)
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
        return self.decoder(columns.mean(x, own))

    @torch.no_grad()
    def calibrate(self, v: torch.Tensor, lengths: torch.Tensor | None = None,
                  mean: float = 0.3, std: float = 0.3) -> None:
        """Set scale and bias of every output sampler so that p has this mean and deviation.

        One block after the other, from one batch: the data-dependent start of training.
        """
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
