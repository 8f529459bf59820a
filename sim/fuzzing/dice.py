"""Random choices."""

import numpy as np

from golden.base.qformat import SQ, UQ, QFormat


class Dice:
    """Choices that depend on a seed, a sequence of whole numbers, alone."""

    def __init__(self, *seed: int):
        self.rng = np.random.default_rng(seed)

    def pick(self, *options):
        return options[self.rng.integers(len(options))]

    def between(self, low: int, high: int) -> int:
        """A whole number, both ends included; ``low`` where ``high`` is lower."""
        return int(self.rng.integers(low, max(low, high) + 1))

    def sq(self, i_bits: int, low: int, high: int) -> QFormat:
        """A signed format of 1 to ``i_bits`` integer bits and ``low`` to ``high`` fraction bits."""
        return SQ(self.between(1, i_bits), self.between(low, high))

    def uq(self, least: int, i_bits: int, low: int, high: int) -> QFormat:
        """An unsigned one, of ``least`` integer bits at least."""
        return UQ(self.between(least, i_bits), self.between(low, high))
