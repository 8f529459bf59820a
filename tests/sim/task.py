"""A task of a few short sequences of signed samples, for tests of ``python -m sim``."""

import numpy as np

from golden.tasks import Split
from golden.tasks.formats import MU_LAW, PIXEL


class Tiny:
    name, n_classes, length, vocab, sample_format = "tiny", 3, 12, 0, MU_LAW

    def load(self, split, data_dir=None):
        rng = np.random.default_rng(len(split))
        return Split(rng.integers(-128, 128, (6, 12)), np.array([12, 1, 7, 12, 3, 9]),
                     rng.integers(0, 3, 6))


class TinyPair(Tiny):
    """Two unsigned sequences for an example, of one of three levels: the difference modulo 3."""

    name, inputs, sample_format = "tinypair", 2, PIXEL

    def load(self, split, data_dir=None):
        rng = np.random.default_rng(len(split))
        lengths = np.array([[12, 1], [7, 12], [3, 9], [5, 5], [12, 12]])
        levels = rng.integers(0, 3, (5, 2))
        values = rng.integers(0, 86, (5, 2, 12)) + 85 * levels[..., None]
        live = np.arange(12) < lengths[..., None]
        return Split(np.where(live, values, 0), lengths, (levels[:, 1] - levels[:, 0]) % 3)


class Twin(Tiny):
    """The same under another name, whose folder in build/sim no other test uses."""

    name = "twin"
