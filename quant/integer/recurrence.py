"""States on their way through one sequence, step after step. ``quant.integer.memory.States`` is the
operation, and does the arithmetic.
"""

import numpy as np

from quant.integer.signature import TOOK, rotl, state_word


class Recurrence:
    """The states of one sequence, step after step.

    ``u`` (H,) entered the last step, ``word`` (H, n) rounded it, ``saturated`` (H, n) counts its
    saturated parts, ``over`` those of all steps.
    """

    def __init__(self, op, u_fmt, draws):
        self.op, self.u_fmt, self.random = op, u_fmt, draws.random
        self.h_re, self.h_im = (np.zeros(op.a_re.raw.shape, np.int64) for _ in range(2))
        self.words = (draws.rounding(op.layer) if op.rounding == "stochastic" else
                      np.zeros((draws.blocks, *self.h_re.shape), np.int64))
        self.t, self.over, self.word, self.saturated, self.u = 0, 0, None, None, None

    def __call__(self, u):
        self.u = u
        self._update(u[:, None])
        return self.op.output(self.u_fmt, self.h_re.sum(-1), u)

    def _update(self, u) -> None:
        """With the next words, and an input (H, 1) or a pair of them."""
        self.word = self.words[self.t]
        self.t += 1
        self.h_re, self.h_im, self.saturated = self.op.update(
            self.u_fmt, self.h_re, self.h_im, u, self.word, self.random)
        self.over += int(self.saturated.sum())

    def shown(self, place: int):
        """Words (H,): written states and rounding words, of a first memory what entered too."""
        word = state_word(self.h_re, self.h_im, self.word)
        return word if place else word ^ rotl(self.u, TOOK)


class BlockRecurrence(Recurrence):
    """The states of one sequence, updated once in two steps: first y ahead, then the update.

    ``first`` (H,) is what entered a block's first step, until its second one; ``saturated`` are the
    last update's. :meth:`end` must come behind a sequence's last step.
    """

    def __init__(self, op, u_fmt, draws):
        super().__init__(op, u_fmt, draws)
        self.first = None

    def __call__(self, u):
        self.u = u
        if self.first is None:
            self.first = u
            return self.op.ahead(self.u_fmt, self.h_re, self.h_im, u)
        self._both(u)
        return self.op.output(self.u_fmt, self.h_re.sum(-1), u)

    def end(self) -> None:
        """The update of a block that lacks its second step: nothing enters there."""
        if self.first is not None:
            self._both(np.zeros_like(self.first))

    def _both(self, u) -> None:
        self._update((self.first[:, None], u[:, None]))
        self.first = None

    def shown(self, place: int):
        """Words (H,) of a step: of a first memory what entered."""
        return np.zeros_like(self.u) if place else rotl(self.u, TOOK)

    def written(self):
        """Words (H,) of a block, not of a step: written states and rounding words; 0 before."""
        if self.first is not None:
            return np.zeros_like(self.u)
        return state_word(self.h_re, self.h_im, self.word)
