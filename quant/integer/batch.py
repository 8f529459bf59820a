"""What a network did with many sequences, and what it takes."""

from dataclasses import dataclass, field

import numpy as np

from quant.integer.program import Artifact
from quant.integer.reference import Trace, saturations


@dataclass(frozen=True)
class Batch:
    """Results of B sequences on a network of N layers; the last three only when recorded.

    logits : (B, outputs) int64; labels : (B,) int64; over : saturated elements by a value's name,
    (B, N + 1) int64, the last column the encoder's, or of a compiled network the whole residual
    stream's; spikes : (B, N, samplers or 1) int64, what fired or, ternary, was not 0; s_in, s_out :
    (B, N, L, H) int8, s_in (B, N, L, 0) where values enter the states, and signature : (B, N, L)
    uint32, of blocks of steps with two per update of the states; zeros after the end.
    """

    art: Artifact
    lengths: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    over: dict[str, np.ndarray]
    spikes: np.ndarray
    s_in: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    s_out: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    signature: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))

    @property
    def saturations(self) -> np.ndarray:
        """(B, N + 1) of all values."""
        return sum(self.over.values())

    def trace(self, b: int) -> Trace:
        """What ``quant.integer.reference.run`` returns for sequence ``b``."""
        if not self.signature.size:
            raise ValueError("this batch has no traces; run it with record=True")
        L, blocks = self.lengths[b], -(-self.lengths[b] // self.art.block)
        over = saturations({name: count[b] for name, count in self.over.items()}, self.art)
        return Trace(self.s_in[b, :, :L], self.s_out[b, :, :L], self.signature[b, :, :blocks],
                     self.logits[b], int(self.labels[b]), over)


def check_lengths(art: Artifact, B: int, L: int, lengths) -> np.ndarray:
    """Lengths (B,) of sequences of up to L steps, None: all L; ``ValueError`` for wrong ones."""
    lengths = np.full(B, L) if lengths is None else np.asarray(lengths, np.int64)
    if lengths.shape != (B,) or lengths.min() < 1 or lengths.max() > min(L, art.length):
        raise ValueError(f"{B} lengths of 1..{min(L, art.length)} steps are needed, got "
                         f"{lengths.shape} of {lengths.min()}..{lengths.max()}")
    return lengths


def check_values(art: Artifact, values: np.ndarray) -> None:
    """Raise ``ValueError`` for samples or tokens that are none."""
    lo, hi = (0, art.vocab - 1) if art.vocab else (art.sample.lo, art.sample.hi)
    if values.min() < lo or values.max() > hi:
        raise ValueError(f"values must be in {lo}..{hi}, seen {values.min()}..{values.max()}")
