"""A task whose module brings the operation with it: are the pulses spread out, or in bursts?"""

import numpy as np

from golden.tasks import Split
from leaky import cell, lower, step, tune     # noqa: F401  they make the operation known
from quant.formats import UQ


class Bursts:
    """Eight pulses in 40 steps: one by one (class 0), or in two bursts of four (class 1)."""

    name, n_classes, length, vocab, sample_format = "bursts", 2, 40, 0, UQ(0, 8)

    def load(self, split, data_dir=None):
        n = {"train": 1000, "val": 100, "test": 200}[split]
        rng = np.random.default_rng({"train": 0, "val": 1, "test": 2}[split])
        labels = rng.integers(0, 2, n)
        values = rng.integers(0, 140, (n, self.length))
        for row, label in zip(values, labels):
            starts = rng.choice(10, 2, replace=False)[:, None] * 4 if label else np.arange(8) * 5
            row[(starts + (np.arange(4) if label else rng.integers(0, 5, 8))).ravel()] += 110
        return Split(values.astype(np.uint8), np.full(n, self.length), labels)
