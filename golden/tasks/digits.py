"""The 8x8 digits that come with scikit-learn, as permuted sequences of 64: needs no network."""

import numpy as np

from golden.tasks.base import Split, known_split, permuted
from golden.tasks.sources import Source
from golden.tasks.formats import DIGIT

SHARES = {"test": 0.2, "val": 0.1}      # the rest trains


class Digits:
    """1,797 digits as 64 grey values v / 16, one a step, in a fixed order.

    The split is stratified and fixed: of every class, shuffled with seed 42, a fifth tests, a tenth
    validates.
    """

    n_classes, length, vocab, sample_format = 10, 64, 0, DIGIT
    source = Source(home="https://archive.ics.uci.edu/dataset/80", licence="CC BY 4.0",
                    made="comes with scikit-learn")

    def __init__(self, permutation: str = "seed0"):
        self.order = permuted(permutation, self.length)
        self.permutation = permutation
        self.name = "digits" + (f":{permutation}" if permutation != "seed0" else "")

    def load(self, split: str, data_dir=None) -> Split:
        """``data_dir`` is not read."""
        from sklearn.datasets import load_digits    # slow to import, and nothing else needs it
        known_split(split)
        values, labels = load_digits(return_X_y=True)
        labels = labels.astype(np.int64)
        rng = np.random.default_rng(42)
        chosen = []
        for c in range(self.n_classes):
            members = rng.permutation(np.flatnonzero(labels == c))
            test = round(SHARES["test"] * len(members))
            val = test + round(SHARES["val"] * len(members))
            chosen.append({"test": members[:test], "val": members[test:val],
                           "train": members[val:]}[split])
        chosen = rng.permutation(np.concatenate(chosen))
        values = values[chosen][:, self.order].astype(np.uint8)
        return Split(values, np.full(len(values), self.length), labels[chosen])
