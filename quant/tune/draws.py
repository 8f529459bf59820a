"""The random words of an artifact for the quantisation-aware model, and Sobol's directions."""

import numpy as np
import torch
from torch.quasirandom import SobolEngine

from quant.integer import sampling
from quant.integer.memory import Draws, Fire
from quant.integer.program import Artifact


def sobol_directions(samplers: int, length: int, k: int) -> np.ndarray:
    """Direction numbers of k bits for sequences of ``length`` steps, (samplers, columns) int64.

    Row j is dimension j + 1 of Joe and Kuo's table (2008), as in ``golden.kernels.sampling``:
    dimension 0 is van der Corput's. Read off PyTorch's points, which come in Gray code order.
    """
    last = 1 << sampling.direction_columns(length) - 1
    points = SobolEngine(samplers + 1, scramble=False).draw(last + 1, dtype=torch.float64)[:, 1:]
    raw = (points * 2.0 ** k).to(torch.int64).numpy()
    at = [1 << c for c in range(last.bit_length())]
    return np.stack([raw[t] ^ raw[t - 1] for t in at], 1)


class LfsrDraws:
    """Spikes and rounding words from an artifact's generator, the same words for a whole batch."""

    def __init__(self, art: Artifact, seed: int | None = None):
        self.art, self.seed = art, art.seed if seed is None else seed
        self.samplers = {op.number: (op, inputs[0].f_bits) for _, op, inputs in art.operations()
                         if isinstance(op, Fire)}

    def draws(self, steps: int) -> Draws:
        art = self.art
        return Draws(art.random, self.seed, art.H, art.n, steps, block=art.block)

    def spikes(self, which: Fire, p: torch.Tensor) -> torch.Tensor:
        """Spikes of p (H, L, B); exact in float64 for a p on its grid."""
        op, f_bits = self.samplers[which.number]
        random = self.art.random
        words = torch.from_numpy(op.words(f_bits, self.draws(p.shape[1])))
        words = words.T[:, :, None].double()                            # (H, L or 1, 1)
        if op.form != "systematic":
            return (p > (words + 0.5 * random.centred) * 2.0 ** -random.k).to(p.dtype)
        phase = words * 2.0 ** -f_bits
        total = phase + torch.cumsum(p.clamp(0, 1).double(), 1)
        start = phase.expand(-1, -1, p.shape[2])
        return torch.cat([start, total], 1).floor().diff(dim=1).to(p.dtype)

    def rounding(self, layer: int, L: int) -> torch.Tensor:
        """(updates in L steps, 2, H, n): what is added before the floor, of the real and the
        imaginary part."""
        bits = self.art.random.round_bits
        r = torch.from_numpy(self.draws(L).rounding(layer))
        return (torch.stack([r & ((1 << bits) - 1), r >> bits], 1).double() + 0.5) * 2.0 ** -bits
