"""Small tasks for tests of the export: instant to load, and a small network knows them."""

import numpy as np

from golden.tasks import Split
from golden.base.qformat import SQ, UQ

COUNTS = {"train": 48, "val": 8, "test": 12}


class Toy:
    """Noise below or above a level: 2 classes, samples of 4 bits, 9 to 20 steps."""

    name, n_classes, length, vocab, sample_format = "toy", 2, 20, 0, UQ(0, 4)

    def load(self, split: str, data_dir=None) -> Split:
        rng = np.random.default_rng(list(COUNTS).index(split))
        labels = rng.integers(0, 2, COUNTS[split])
        lengths = rng.integers(9, 21, COUNTS[split])
        values = rng.integers(0, 9, (COUNTS[split], 20)) + 7 * labels[:, None]
        return Split(np.where(np.arange(20) < lengths[:, None], values, 0), lengths, labels)


class ToySigned(Toy):
    """The same round zero: -8 to 7, 0 behind the end."""

    name, sample_format = "toysigned", SQ(1, 3)

    def load(self, split: str, data_dir=None) -> Split:
        found = super().load(split)
        live = np.arange(20) < found.lengths[:, None]
        return Split(np.where(live, found.values - 8, 0), found.lengths, found.labels)


class ToyTokens(Toy):
    """The same as tokens 1 to 16, 0 behind the end."""

    name, vocab, sample_format = "toytokens", 17, None

    def load(self, split: str, data_dir=None) -> Split:
        found = super().load(split)
        live = np.arange(20) < found.lengths[:, None]
        return Split(np.where(live, found.values + 1, 0), found.lengths, found.labels)
