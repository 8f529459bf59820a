"""The network as the released code of P-SpikeSSM computes it, which is not quite the paper's.

One block, x its real input, U1 and U2 uniform draws (Bal & Sengupta, ICLR 2025, released code):

    s1 = [norm(inp_a x + inp_b) > U1]           the norm here with norm_position "pre"
    v  = GELU(SSM(s1))                          the GELU with gelu_before_sampler
    s2 = [out_a v + out_b > U2]
    m  = act(W s2 + bias)
    out = [x +] m                               the sum with residual "plain"
    out = norm(out)                             with norm_position "post"

With norm_position "pre" one more norm follows the last block. ``branch`` puts a second SSM beside
the first, which has no norm and no output affine; three of the four samplers share U1:

    s1' = [inp2_a x + inp2_b > U2],  s2' = [GELU(SSM'(s1')) > U1],  s2 = [out_a v + out_b > U1]
    m   = act(W (s2, s2') + bias)

The stream x is never clamped: the next sampler's comparison does that. The released code calls the
branch "reverse", but it is not reversed in time.
"""

import torch
import torch.nn.functional as F
from torch import nn

from golden import ops
from golden.columns import Columns
from golden.config import NetworkConfig
from golden.dplr import DPLR
from golden.fuse import ACTIVATIONS
from golden.network import Encoder, Network
from golden.pair import PairHead
from golden.sampling import Draw
from golden.ssm import make_ssm
from golden.stream_norm import StreamNorm


class Affine(nn.Module):
    """``a x + b`` per neuron, on (H, N)."""

    def __init__(self, H: int):
        super().__init__()
        self.a = nn.Parameter(torch.ones(H))
        self.b = nn.Parameter(torch.zeros(H))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(self.b.to(x.dtype)[:, None], self.a.to(x.dtype)[:, None], x)


class ReleasedBlock(nn.Module):
    """One block on (H, N), columns (C, M, B) as ``golden.ssm.chunked_conv`` wants them."""

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        H = cfg.d_model
        self.cfg = cfg
        self.inp, self.out = Affine(H), Affine(H)
        self.norm = StreamNorm(cfg)
        self.ssm = make_ssm(cfg, scaled=False)
        nn.init.normal_(self.ssm.D)
        if cfg.branch:
            self.inp_branch = Affine(H)
            self.ssm_branch = make_ssm(cfg, scaled=False)
            nn.init.normal_(self.ssm_branch.D)
        self.mixer = nn.Linear(2 * H if cfg.branch else H, H)
        self.act = ACTIVATIONS[cfg.act]

    def dropout(self, x: torch.Tensor, chunks: tuple[int, int, int]) -> torch.Tensor:
        if not (self.training and self.cfg.dropout):
            return x
        if self.cfg.tie_dropout:
            mask = F.dropout(x.new_ones(len(x), 1, 1, chunks[2]), self.cfg.dropout)
            return (x.view(len(x), *chunks) * mask).reshape(x.shape)
        return F.dropout(x, self.cfg.dropout)

    def response(self, ssm: nn.Module, s: torch.Tensor, chunks: tuple[int, int, int]
                 ) -> torch.Tensor:
        """SSM and what stands between it and the sampler."""
        v = self.dropout(ssm(s.view(-1, *chunks)).reshape(s.shape), chunks)
        if self.cfg.gelu_before_sampler:
            v = F.gelu(v)
        return self.dropout(v, chunks)

    def forward(self, x: torch.Tensor, draws: tuple[Draw, Draw], valid: torch.Tensor | None = None,
                u: tuple[torch.Tensor, torch.Tensor] | None = None, record: dict | None = None
                ) -> torch.Tensor:
        """Output of the block for x (H, N).

        Parameters
        ----------
        draws
            How the input and the output sampler draw.
        valid : (N,)
            1 where a step belongs to its sequence; None: everywhere.
        u : two (H, N)
            The uniform draws themselves, in place of ``draws``.
        record
            Gets the (H, N) tensors ``s_in``, ``p`` and ``s_out`` of the first branch and, where
            there is one, ``s_in2`` and ``s_out2`` of the second.
        """
        cfg, chunks = self.cfg, draws[0].chunks
        if cfg.branch and u is None and cfg.sampling == "bernoulli":
            u = torch.rand_like(x), torch.rand_like(x)
        u1, u2 = u or (None, None)

        def sample(p, which, given):
            s = ops.spikes(p, draws[which], given) if given is not None else ops.sample(
                p, torch.zeros_like(self.out.b), draws[which])
            return s if which or valid is None else s * valid.to(s.dtype)

        p = self.inp(x)
        if cfg.norm_position == "pre":
            p = self.norm(p, valid)
        s_in = sample(p, 0, u1)
        q = self.out(self.response(self.ssm, s_in, chunks))
        s_out = mixed = sample(q, 1, u1 if cfg.branch else u2)
        seen = {"s_in": s_in, "p": q.clamp(0, 1), "s_out": s_out}
        if cfg.branch:
            s_in2 = sample(self.inp_branch(x), 0, u2)
            s_out2 = sample(self.response(self.ssm_branch, s_in2, chunks), 1, u1)
            seen |= {"s_in2": s_in2, "s_out2": s_out2}
            mixed = torch.cat([s_out, s_out2])
        if record is not None:
            record.update({name: t.detach() for name, t in seen.items()})
        m = self.act(torch.addmm(self.mixer.bias.to(x.dtype)[:, None],
                                 self.mixer.weight.to(x.dtype), mixed))
        if cfg.residual == "plain":
            m = x + self.dropout(m, chunks)
        return self.norm(m, valid) if cfg.norm_position == "post" else m


class ReleasedNetwork(nn.Module):
    """Classifier of the released architecture; interface of ``golden.network.Network``."""

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        H = cfg.d_model
        self.cfg = cfg
        self.encoder = Encoder(cfg)
        if cfg.vocab:                       # as torch's Embedding and Linear start
            nn.init.normal_(self.encoder.weight)
        else:
            nn.init.uniform_(self.encoder.weight, -1, 1)
            nn.init.uniform_(self.encoder.bias, -1, 1)
        self.blocks = nn.ModuleList(ReleasedBlock(cfg) for _ in range(cfg.n_blocks))
        self.last_norm = StreamNorm(cfg) if cfg.norm_position == "pre" else None
        self.decoder = PairHead(H, cfg.n_classes) if cfg.pair else nn.Linear(H, cfg.n_classes)

    def norms(self) -> list[StreamNorm]:
        """All norms in the order of the forward pass."""
        return [block.norm for block in self.blocks] + [self.last_norm] * (
            self.last_norm is not None)

    def chunks(self, L: int) -> tuple[int, int]:
        """(C, M) with C M >= L; a DPLR kernel is applied by a Fourier transform, in one piece."""
        return (L, 1) if self.cfg.ssm == "dplr" else Network.chunks(L)

    def stack(self, x: torch.Tensor, chunks: tuple[int, int, int],
              valid: torch.Tensor | None = None, u: list[torch.Tensor] | None = None,
              records: list | None = None) -> torch.Tensor:
        """All blocks and the last norm on (H, N); u has two (H, N) draws per block."""
        for k, block in enumerate(self.blocks):
            draws = tuple(Draw(self.cfg.sampling, 2 * k + i, chunks) for i in (0, 1))
            record = None if records is None else {}
            x = block(x, draws, valid, u and tuple(u[2 * k:2 * k + 2]), record)
            if records is not None:
                records.append(record | {"out": x.detach()})
        return x if self.last_norm is None else self.last_norm(x, valid)

    @torch.no_grad()
    def trace(self, x: torch.Tensor, u: list[torch.Tensor]) -> tuple[list[dict], torch.Tensor]:
        """Every block's ``s_in``, ``p``, ``s_out``, ``out`` and the stack's output, (B, L, H).

        x (B, L, H) is what the encoder would give, u the uniform draws, two of that shape per
        block in the order of the samplers.
        """
        columns = Columns(x[..., 0], None, self.chunks(x.shape[1]))

        def of(t):                                                          # (B, L, H) to (H, N)
            return torch.stack([columns.of(neuron) for neuron in t.unbind(2)])

        records = []
        y = self.stack(of(x), columns.shape, columns.valid(x.dtype), [of(t) for t in u], records)
        return [{name: columns.rows(t) for name, t in record.items()} for record in records], \
            columns.rows(y)

    def forward(self, v: torch.Tensor, lengths: torch.Tensor | None = None,
                dtype: torch.dtype | None = None, record: list | None = None) -> torch.Tensor:
        """Logits (B, classes) of samples or tokens v (B, L); see ``golden.network.Network``.

        With ``pair`` row k and row k + B / 2 belong together and there are B / 2 logits.
        """
        columns = Columns(v, lengths, self.chunks(v.shape[1]))
        own = self.encoder.weight.dtype
        if dtype is None:
            dtype = own if self.cfg.vocab else v.dtype
        records = None if record is None else []
        x = self.stack(self.encoder(columns.of(v), dtype), columns.shape, columns.valid(own), None,
                       records)
        if record is not None:
            record += [{name: columns.rows(block[name]) for name in ("s_in", "p", "s_out")}
                       for block in records]
        return self.decoder(columns.mean(x, own))

    def calibrate(self, v: torch.Tensor, lengths: torch.Tensor | None = None) -> None:
        """Fit the encoder to signed samples, and fold C for sequences of this length."""
        self.encoder.calibrate(v, lengths)
        for block in self.blocks:
            for ssm in (block.ssm, getattr(block, "ssm_branch", None)):
                if isinstance(ssm, DPLR):
                    ssm.fold(v.shape[1])

    def parameter_count(self) -> int:
        """Trained real numbers, all of which the forward pass uses; a complex one counts two."""
        return sum(p.numel() for p in self.parameters())
