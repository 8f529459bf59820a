"""A task of a few short sequences of signed samples, for tests of ``python -m sim``."""

import numpy as np

from golden.tasks import Split
from quant.formats import MU_LAW


class Tiny:
    name, n_classes, length, vocab, sample_format = "tiny", 3, 12, 0, MU_LAW

    def load(self, split, data_dir=None):
        rng = np.random.default_rng(len(split))
        return Split(rng.integers(-128, 128, (6, 12)), np.array([12, 1, 7, 12, 3, 9]),
                     rng.integers(0, 3, 6))
