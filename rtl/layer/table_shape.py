"""The tables of a mixer's weights: what is in them, how large they are, and what they are not for.

With spikes written as signs t of -1 and 1, ``2 sum w s = sum w + sum w t``. The neurons are taken
in groups of four. The sum of a group is ``t0 (w0 + w1 t1 t0 + w2 t2 t0 + w3 t3 t0)``: eight entries
and a sign.
"""

from dataclasses import dataclass

import numpy as np

from quant.integer.operation import Tensor
from rtl.layer import columns
from rtl.parts.bank import PairBank
from rtl.parts.memory import Region, pack_rows
from rtl.spec import LayerSpec

GROUP = 4               # neurons
ENTRIES = 8             # of a group and an output; bit k - 1 of its number: t_k is not t_0
ENTRY_BITS = PairBank.bits // 2     # a row has the entries of two outputs
MOST_BITS = ENTRY_BITS - 1          # of a weight: the tables say which one it was, so it can change
# signs[e, k]: of weight k in entry e
SIGNS = np.array([[1, *(-1 if e >> k & 1 else 1 for k in range(GROUP - 1))]
                  for e in range(ENTRIES)])


@dataclass(frozen=True)
class TableShape:
    """Of the tables of H neurons that read H neurons."""

    H: int

    @property
    def groups(self) -> int:
        """Of neurons that are read, the last one filled up with weights of 0."""
        return -(-self.H // GROUP)

    @property
    def pairs(self) -> int:
        """Of outputs."""
        return -(-self.H // 2)

    @property
    def rows(self) -> int:
        """Addresses of a group: entry, above it the pair."""
        return ENTRIES << (self.pairs - 1).bit_length()

    @property
    def per_bank(self) -> int:
        """Groups in one memory: two, one on each port, if they fit."""
        return 2 if 2 * self.rows <= PairBank.most else 1

    @property
    def banks(self) -> int:
        """Memories."""
        return -(-self.groups // self.per_bank)

    def entries(self, w: np.ndarray) -> np.ndarray:
        """Raw integers (banks, per_bank, pairs, 2, ENTRIES) of weights (H, H)."""
        full = np.zeros((2 * self.pairs, self.banks * self.per_bank * GROUP), np.int64)
        full[:self.H, :self.H] = w
        found = full.reshape(2 * self.pairs, -1, GROUP) @ SIGNS.T
        return found.reshape(self.pairs, 2, self.banks, self.per_bank, ENTRIES).transpose(
            2, 3, 0, 1, 4)

    def init(self, w: np.ndarray) -> list[list[int]]:
        """Rows of every memory."""
        mask, found = (1 << ENTRY_BITS) - 1, []
        for bank in self.entries(w).swapaxes(2, 3):     # half, output of a pair, pair, entry
            rows = np.zeros((self.per_bank, self.rows), np.int64)
            low, high = (bank[:, out].reshape(self.per_bank, -1) & mask for out in (0, 1))
            rows[:, :low.shape[1]] = low | high << ENTRY_BITS
            found.append(rows.reshape(-1).tolist())
        return found

    def sums(self, w: np.ndarray) -> np.ndarray:
        """The rows' sums (pairs, 2)."""
        found = np.zeros(2 * self.pairs, np.int64)
        found[:self.H] = w.sum(axis=1)
        return found.reshape(-1, 2)


def row_bits(total) -> int:
    """Of a row's sum, with a sign, where the sums have the shape ``total``."""
    return total.width + (not total.signed)


def regions(spec: LayerSpec) -> list[Region]:
    """``mixer.w0``: row j has the weights of input neuron j; tables are made of what is written.

    Of several mixers ``mixer.n.w0`` and so on, by what is made of their sums.
    """
    return [Region(f"{name}0", spec.geo.H * wire.op.w.fmt.width,
                   pack_rows([(wire.op.w.raw.T, wire.op.w.fmt.width)]),
                   f"{spec.geo.H} weights of one input neuron")
            for name, wire in zip(columns.names(spec), spec.cut.mixes)]


def misfit(spec: LayerSpec) -> str:
    """Why a layer's mixers cannot be tables; "": they can."""
    geo = spec.geo
    shape = TableShape(geo.H)
    if shape.per_bank * shape.rows > PairBank.most:
        return f"tables of {geo.H} neurons do not fit block RAMs of {PairBank.most} rows"
    if geo.values > 2 or geo.P == 2 and geo.H % 2:
        return (f"tables give two sums a cycle, which is too slow for {geo.lanes} lanes with "
                f"{geo.H} neurons of {geo.n} modes" + " in blocks of two steps" * (geo.P == 2))
    for wire in spec.cut.mixes:
        w, (fmt,) = wire.op.w, wire.formats
        if not columns.is_bit(fmt):
            return f"{wire.op} reads {fmt}, tables are for spikes of one bit"
        if wide := _wide(shape, w):
            return f"{wire.op}: {wide}; export with --weight-bits {MOST_BITS - 1}"
    return ""


def _wide(shape: TableShape, w: Tensor) -> str:
    """What does not fit an entry; nothing with weights of 7 bits."""
    if w.fmt.width > MOST_BITS:
        return f"weights {w.fmt} have more than {MOST_BITS} bits"
    found = shape.entries(w.raw)
    low, high = int(found.min()), int(found.max())
    if -(1 << MOST_BITS) <= low and high < 1 << MOST_BITS:
        return ""
    return (f"four weights {w.fmt} make {low if -low > high else high}, which an entry of "
            f"{ENTRY_BITS} bits does not hold")
