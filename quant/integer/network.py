"""A network in integers, fast enough for whole test sets; equals ``quant.integer.reference``.

What hardware has too runs compiled (``quant.integer.compiled``). Any other network runs operation
after operation, each over all steps of a group of sequences: only states go step by step, in numba;
sums of columns are float64 matrix products where they stay below 2**53, exact; all else is the
operations themselves on whole tensors, another memory's step after step.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from quant.integer import kernels
from quant.integer.batch import Batch, check_lengths, check_values
from quant.integer.bounds import bounds
from quant.integer.compiled import Compiled
from quant.integer.memory import Draws, States
from quant.integer.operation import ArtifactError, Operation, wired
from quant.integer.ops import Limit, Mix
from quant.integer.program import Artifact
from quant.integer.reference import decode, traced
from quant.integer.signature import SUM, crc_tables, of_blocks, rotl
from quant.integer.state_scan import along

GROUP = 16          # sequences side by side, fewer where they are long
MEMORY = 1 << 28    # bytes of the values of a group
EXACT = 1 << 53     # float64 holds every integer below


class Vectorised:
    """An artifact, ready to run many sequences; arguments as of :class:`IntegerNetwork`."""

    def __init__(self, art: Artifact, seed: int | None = None, threads: int | None = None):
        self.art, self.seed = art, art.seed if seed is None else seed
        self.threads = threads or len(os.sched_getaffinity(0))
        found = bounds(art)
        self.exact = max(found.stream, found.mixer) < EXACT
        self.first = wired(art.first, {"v": art.input_format})[0]
        self.blocks = [wired(ops, {"x": art.x_format})[0] for ops in art.blocks]
        self._words = {}

    def run(self, values: np.ndarray, lengths: np.ndarray | None = None,
            record: bool = False) -> Batch:
        """Run B sequences of raw samples or tokens ``values`` (B, L), of ``lengths`` (B,) steps."""
        art, values = self.art, np.asarray(values)
        names = traced(art) if record else None
        lengths = check_lengths(art, *values.shape, lengths)
        steps = int(lengths.max())
        live = np.arange(steps) < lengths[:, None]
        values = np.where(live, values[:, :steps], values[0, 0])
        check_values(art, values)
        draws = Draws(art.random, self.seed, art.H, art.n, steps, block=art.block)
        for op in (op for block in self.blocks for op, _ in block if isinstance(op, States)):
            self._rounding(op, draws)
        size = max(1, min(GROUP, MEMORY // (80 * steps * art.H)))
        parts = [slice(k, k + size) for k in range(0, len(values), size)]
        with ThreadPoolExecutor(self.threads) as pool:
            found = list(pool.map(
                lambda part: self._group(values[part], live[part], draws, names), parts))
        total, spikes, over, *trace = zip(*found)
        logits = decode(np.concatenate(total), lengths, art)
        return Batch(art, lengths, logits, logits.argmax(1),
                     {name: np.concatenate([group[name] for group in over]) for name in over[0]},
                     *map(np.concatenate, (spikes, *trace)))

    def _rounding(self, op: States, draws: Draws) -> np.ndarray:
        if op.rounding != "stochastic":
            return np.zeros((0, 1, 1), np.int64)
        if len(self._words.get(op.layer, ())) < draws.blocks:
            self._words[op.layer] = draws.rounding(op.layer)
        return self._words[op.layer][:draws.blocks]

    def _group(self, values: np.ndarray, live: np.ndarray, draws: Draws,
               names: tuple[str, ...] | None):
        """(sum of x (B, H), spikes (B, N, 1), saturations) of some sequences; with the ``names`` of
        recorded spikes also the three of a :class:`Batch`."""
        (B, steps), N, H = live.shape, len(self.blocks), self.art.H
        over, spikes = {}, np.zeros((B, N, 1), np.int64)
        record, present, whole = names is not None, live[..., None], live[:, ::self.art.block]
        s_in, s_out = (np.zeros((B, N, steps, H * (record and name in names)), np.int8)
                       for name in ("s_in", "s_out"))
        signature = np.zeros((B, N, whole.shape[1] * record), np.uint32)
        x = self._through(self.first, {"v": values[..., None]}, N, over, live, draws)["x"]
        for j, block in enumerate(self.blocks):
            words = np.zeros((*whole.shape, H * record), np.int64)
            made = self._through(block, {"x": x}, j, over, live, draws, words)
            x = made["x"]
            if "s_out" in made:
                spikes[:, j, 0] = ((made["s_out"] != 0).sum(-1) * live).sum(1)
            if record:
                for kept, name in ((s_in, "s_in"), (s_out, "s_out")):
                    kept[:, j] = made[name] * present if name in made else 0
                words ^= of_blocks(rotl(made["y"], SUM) * present, self.art.block)
                by_neuron = np.ascontiguousarray(words.reshape(-1, H).T, np.uint32)
                crc = kernels.crc(by_neuron, crc_tables())
                signature[:, j] = crc.reshape(whole.shape) * whole
        total = (x * present).sum(1)
        return (total, spikes, over, s_in, s_out, signature) if record else (total, spikes, over)

    def _through(self, block, made: dict, j: int, over: dict, live: np.ndarray, draws: Draws,
                 words: np.ndarray = np.zeros(0)):
        """All values behind a block's operations; adds to ``over`` in column j, and to ``words``,
        where there are any, what memories show of a step or of a block of steps."""
        place = 0
        for op, formats in block:
            inputs, saturated = [made[name] for name in op.reads], None
            present, in_blocks = live[..., None], isinstance(op, States) and op.block > 1
            if op.backwards or in_blocks:
                inputs = [raw * present for raw in inputs]
            if op.states:
                made[op.makes], saturated, shown = self._memory(
                    op, formats, inputs, draws, place if words.size else None)
                place += 1
                if words.size:
                    words ^= shown if in_blocks else of_blocks(shown * present, self.art.block)
            else:
                made[op.makes] = self._apply(op, formats, inputs)
                if isinstance(op, Limit):
                    made[op.makes], saturated = made[op.makes]
            for name in op.saturates:
                of = over.setdefault(name, np.zeros((len(live), len(self.blocks) + 1), np.int64))
                of[:, j] += (saturated.reshape(*live.shape, -1).sum(-1) * live).sum(1)
        return made

    def _memory(self, op: Operation, formats, inputs: list[np.ndarray], draws: Draws,
                place: int | None):
        if not isinstance(op, States):
            return op.along(formats, draws, *inputs, place=place)
        bits = draws.random.round_bits if op.rounding == "stochastic" else 0
        return along(op, formats[0], inputs[0], self._rounding(op, draws), bits, place)

    def _apply(self, op: Operation, formats, inputs: list[np.ndarray]):
        if isinstance(op, Mix) and self.exact:
            total = inputs[0].astype(np.float64) @ op.w.raw.T.astype(np.float64)
            return op.shifted(np.rint(total).astype(np.int64))
        return op.apply(formats, *inputs)


def IntegerNetwork(art: Artifact, seed: int | None = None,
                   threads: int | None = None) -> Compiled | Vectorised:
    """An artifact, ready to run many sequences.

    Parameters
    ----------
    seed : int or None
        Master seed of the random words; None is the artifact's own.
    threads : int or None
        Groups that run at once; None is one for each processor of this process.
    """
    try:
        art.spiking
    except ArtifactError:           # nothing that hardware has
        return Vectorised(art, seed, threads)
    return Compiled(art, seed, threads)
