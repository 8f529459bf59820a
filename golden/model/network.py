"""A network of any family: encoder, blocks of steps, mean over time, decoder."""

import math
from collections.abc import Callable

import torch
from torch import nn

from golden.model import families
from golden.model.block import Block
from golden.model.columns import Columns
from golden.model.config import NetworkConfig
from golden.model.encoder import Encoder
from golden.model.fused import program
from golden.model.norms import Norm
from golden.model.ops import Pass
from golden.model.pair import PairHead


class Network(nn.Module):
    """Classifier: ``golden.model.families`` says which steps its blocks have.

    Inside, tensors are (H, N) with N = time x batch, time cut into M chunks of C steps in the
    order (C, M, B) that ``golden.model.ssm.chunked_conv`` wants. ``first`` and ``last`` are the
    steps in front of all blocks and behind them.
    """

    def __init__(self, cfg: NetworkConfig):
        super().__init__()
        self.cfg, family, H = cfg, families.of(cfg), cfg.d_model
        self.encoder = Encoder(cfg)
        self.first = Block(family.first(cfg))
        self.blocks = nn.ModuleList(Block(family.block(cfg, k))
                                    for k in range(cfg.n_blocks))
        self.last = Block(family.last(cfg))
        self.decoder = (PairHead(H, cfg.n_classes) if cfg.pair and not cfg.features
                        else nn.Linear(H, cfg.features or cfg.n_classes))
        self.head = PairHead(cfg.features, cfg.n_classes) if cfg.features else None
        self.recorded = family.recorded
        # the norm and the sampler that nothing reads behind the last block of a stream
        self.last_norm_is_idle = cfg.family in ("paper", "lif") and cfg.residual == "plain"

    def steps(self):
        """All steps in the order of the forward pass, as (block or None, step)."""
        for k, block in ((None, self.first), *enumerate(self.blocks), (None, self.last)):
            for step in block.steps:
                yield k, step

    def norms(self) -> list[Norm]:
        """All norms in the order of the forward pass."""
        return [step.op for _, step in self.steps() if isinstance(step.op, Norm)]

    def chunks(self, L: int) -> tuple[int, int]:
        """(C, M) with C M >= L for sequences of L steps.

        The least padding for C near 56, measured fastest; a DPLR kernel is applied by a Fourier
        transform, in one piece.
        """
        whole = self.cfg.dplr and self.cfg.family == "released"
        return (L, 1) if whole else chunks(L)

    def run(self, x: torch.Tensor, now: Pass, records: list | None = None,
            more: tuple[str, ...] = ()) -> torch.Tensor:
        """All steps from the encoder's x (H, N) to what the decoder averages.

        ``records`` gets a dict per block: what ``recorded`` and ``more`` name, and what steps note.
        """
        values = {"x": x}
        for block in (self.first, *self.blocks, self.last):
            recording = records is not None and block not in (self.first, self.last)
            now.notes = {} if recording else None
            for step in program(block):
                step.run(values, now)
                if recording:
                    now.notes |= {name: values[name] for name in step.makes
                                  if name in (*self.recorded, *more)}
            if recording:
                records.append({name: t.detach() for name, t in now.notes.items()})
        return values["x"]

    def forward(self, v: torch.Tensor, lengths: torch.Tensor | None = None,
                dtype: torch.dtype | None = None, record: list | None = None,
                seen: tuple[nn.Module, Callable] | None = None) -> torch.Tensor:
        """Logits (B, classes) of samples or tokens v (B, L).

        With ``pair`` row k and row k + B / 2 belong together and there are B / 2 logits.

        The mean over time is over ``lengths`` (B,) steps, None: all of them. ``dtype`` is that of
        the large tensors: bfloat16 for speed on processors with AMX; None: v's, or the parameters'
        for tokens. ``record`` gets one dict per block with (B, L, H) tensors, by family: ``s_in``,
        ``p``, ``s_out`` (samplers), ``u``, ``y``, ``s_out`` (streams: bits, ternary values or, in a
        network without spikes, activations), ``s_in``, ``s_out``, ``membrane`` (LIF: of the output
        neurons before the reset, in units of the threshold). ``seen`` is a norm and
        what is called with its input (H, N) and (N,) valid or None.
        """
        own = self.encoder.weight.dtype
        if dtype is None:
            dtype = own if self.cfg.vocab else v.dtype
        columns = Columns(v, lengths, self.chunks(v.shape[1]))
        now = Pass(columns, own, dtype, getattr(self.cfg, "sampling", None), seen=seen)
        records = None if record is None else []
        y = self.run(self.encoder(columns.of(v), dtype), now, records)
        for block in records or ():
            record.append({name: columns.rows(t) for name, t in block.items()})
        decoded = self.decoder(columns.mean(y, own))
        return decoded if self.head is None else self.head(decoded)

    @torch.no_grad()
    def trace(self, x: torch.Tensor, u: list[torch.Tensor], lengths: torch.Tensor | None = None
              ) -> tuple[list[dict], torch.Tensor]:
        """Every block's record and output ``out``, and the last step's output, all (B, L, H).

        A branch's spikes, ``s_in2`` and ``s_out2``, are in the records too.

        x (B, L, H) is what the encoder would give, u the uniform draws, two of that shape per
        block in the order of the samplers, ``lengths`` (B,) the steps that count, None: all.
        """
        columns = Columns(x[..., 0], lengths, self.chunks(x.shape[1]))

        def of(t):                                                          # (B, L, H) to (H, N)
            return torch.stack([columns.of(neuron) for neuron in t.unbind(2)])

        now = Pass(columns, x.dtype, x.dtype, self.cfg.sampling, [of(t) for t in u])
        records = []
        y = self.run(of(x), now, records, ("s_in2", "s_out2", "x"))
        rows = [{name: columns.rows(t) for name, t in record.items()} for record in records]
        return [row | {"out": row.pop("x")} for row in rows], columns.rows(y)

    @torch.no_grad()
    def calibrate(self, v: torch.Tensor, lengths: torch.Tensor | None = None) -> None:
        """The data-dependent start of training, from one batch: the family's own."""
        families.of(self.cfg).calibrate(self, v, lengths)

    def parameter_count(self) -> int:
        """Trained real numbers that the forward pass uses; a complex one counts two."""
        unused = 2 * self.cfg.d_model * self.last_norm_is_idle
        return sum(p.numel() for p in self.parameters()) - unused


def chunks(L: int) -> tuple[int, int]:
    """(C, M) with C M >= L: the least padding for C near 56, measured fastest."""
    return min(((C, math.ceil(L / C)) for C in range(min(L, 48), min(L, 72) + 1)),
               key=lambda cm: (cm[0] * cm[1], abs(cm[0] - 56)))
