"""A task of a few short sequences, for tests of ``python -m sim``."""

import numpy as np

from golden.tasks import Split
from quant.formats import UQ


class Tiny:
    name, n_classes, length, vocab, sample_format = "tiny", 3, 12, 0, UQ(0, 8)

    def load(self, split, data_dir=None):
        rng = np.random.default_rng(len(split))
        return Split(rng.integers(0, 256, (6, 12)), np.array([12, 1, 7, 12, 3, 9]),
                     rng.integers(0, 3, 6))
