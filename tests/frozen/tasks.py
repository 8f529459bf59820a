"""Small tasks for the frozen networks, in the form that users write: seeded noise, 9 to 40 steps.

They use only what ``docs/own-task.md`` promises to keep.
"""

import numpy as np

from golden.tasks import SPLITS, Split
from golden.base.qformat import SQ, UQ

LENGTH, CLASSES, COUNT = 40, 3, 24


class Samples:
    """Unsigned samples of 8 bits."""

    name, n_classes, length, vocab, sample_format = "samples", CLASSES, LENGTH, 0, UQ(0, 8)
    low, high = 0, 255
    inputs = 1

    def load(self, split: str, data_dir=None) -> Split:
        rng = np.random.default_rng([SPLITS.index(split), self.low + 1000, self.high, self.inputs])
        shape = (COUNT,) if self.inputs == 1 else (COUNT, self.inputs)
        values = rng.integers(self.low, self.high + 1, (*shape, LENGTH))
        lengths = rng.integers(9, LENGTH + 1, shape)
        labels = rng.integers(0, CLASSES, COUNT)
        return Split(np.where(np.arange(LENGTH) < lengths[..., None], values, 0), lengths, labels)


class Signed(Samples):
    """Signed samples of 8 bits."""

    name, sample_format, low, high = "signed", SQ(1, 7), -128, 127


class Tokens(Samples):
    """Tokens 1 to 8; 0 behind the end."""

    name, vocab, sample_format, low, high = "tokens", 9, None, 1, 8


class Pairs(Samples):
    """Two sequences of samples."""

    name, inputs = "pairs", 2


class TokenPairs(Tokens):
    """Two sequences of tokens."""

    name, inputs = "tokenpairs", 2
