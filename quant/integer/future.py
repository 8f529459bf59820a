"""The later half of a two-sided kernel: states that run from a sequence's last step to its first.

A two-sided state space model is ``memory.States`` for the past and the step itself, :class:`Future`
for later steps, and an ``ops.Add`` of both sums; the step itself is in the first one only.
"""

from dataclasses import dataclass

import numpy as np

from quant.integer.memory import Draws, Recurrence, States
from quant.integer.operation import Tensor
from quant.integer.signature import FUTURE, rotl, state_word


@dataclass(frozen=True)
class Future(States):
    """``y = sum Re h``, then ``h <- saturate(round(A_bar h + g u))``, from the end to the start.

    h is 0 behind the sequence's own last step, so a step's y has only what later steps left. It is
    rounded with that step's words, whatever the length; ``layer`` goes on behind the last block's.
    """

    d: Tensor | None = None     # a missing one is 0

    backwards, state = True, "h_future"

    def begin(self, formats, draws: Draws) -> "Foreseen":
        return Foreseen(self, formats[0], draws)


class Foreseen:
    """States that have been through a sequence from its end, given out from its first step on.

    ``h_re``, ``h_im``, ``word`` and ``saturated`` are as in ``Recurrence``, behind the update with
    the step's own input.
    """

    def __init__(self, op: Future, u_fmt, draws: Draws):
        self.op, self.u_fmt, self.draws = op, u_fmt, draws
        self.over, self.steps = 0, iter(())

    def foresee(self, inputs: list[np.ndarray]) -> None:
        """Go through the inputs (H,) of all steps; must come before the first call."""
        run, made = Recurrence(self.op, self.u_fmt, self.draws), []
        run.words = run.words[:len(inputs)][::-1]
        for u in reversed(inputs):
            y = self.op.output(self.u_fmt, run.h_re.sum(-1), u)
            run(u)
            made.append((y, run.h_re, run.h_im, run.word, run.saturated))
        self.over, self.steps = run.over, reversed(made)

    def __call__(self, u):
        """The next step's y (H,)."""
        y, self.h_re, self.h_im, self.word, self.saturated = next(self.steps)
        return y

    def shown(self, place: int):
        """Words (H,): written states and rounding words of the step, of the way backwards."""
        return rotl(state_word(self.h_re, self.h_im, self.word), FUTURE)
