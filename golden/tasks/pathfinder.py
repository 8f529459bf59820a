"""Pathfinder: does one dashed contour join the two marked points? Path-X: the same, larger.

Pictures of 32 x 32 pixels (1,024 steps) or 128 x 128 (16,384), row by row. They are generated from
the published rules (docs/pathfinder.md) with seeds of our own and kept in the cache folder, in
blocks of 1,000; or read from the published release, if the data folder has it.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
from tqdm import tqdm

from golden.tasks import data
from golden.tasks import pathfinder_files
from golden.tasks.base import PART, SPLITS, Split, TaskError, counted, known_split
from golden.tasks.pathfinder_rules import Rules, pictures, rules32, rules128
from golden.tasks.sources import Source
from golden.tasks.formats import PIXEL

SIZES = {"train": 160_000, "val": 20_000, "test": 20_000}
VERSION = 1             # of seeds and generator: part of the cache's file names
BLOCK = 1_000           # pictures from one seed, in one file
CORES = numba.config.NUMBA_DEFAULT_NUM_THREADS      # that this process may use
FOLDERS = {"6": "curv_baseline", "9": "curv_contour_length_9", "14": "curv_contour_length_14"}


class Pathfinder:
    """Grey values v / 256 of 32 x 32 pixels; class 1: one contour joins the markers.

    The variant is the number of segments in a contour: 14 is the task that everyone reports, 6 and
    9 are easier. ``part`` is 14 with 1,000 pictures a split, or with published files of any number.
    """

    n_classes, length, vocab, sample_format = 2, 32 * 32, 0, PIXEL
    title, side, rules_of = "pathfinder", 32, staticmethod(rules32)
    source = Source(home="https://github.com/google-research/long-range-arena",
                    licence="Apache-2.0 (its parameters)", folder="pathfinder",
                    forms=(("pathfinder32/curv_contour_length_14",),),
                    made="generated from its rules at first use")

    def __init__(self, variant: str = ""):
        if variant not in ("", PART, *FOLDERS):
            raise TaskError(f"variant {variant!r} of task {self.title} is unknown; known: "
                            f"{', '.join(FOLDERS)} segments in a contour, and {PART}")
        self.contour = variant if variant in FOLDERS else "14"
        self.part = variant == PART
        self.name = self.title if variant in ("", "14") else f"{self.title}:{variant}"

    def load(self, split: str, data_dir=None) -> Split:
        """A split; the first call for each generates it (docs/pathfinder.md: how long it takes)."""
        known_split(split)
        home = self.source.find([f"pathfinder{self.side}/{FOLDERS[self.contour]}"], data_dir)
        if home:
            listed = pathfinder_files.listed(home)
            counted(len(listed), sum(SIZES.values()), "pictures", home, self)
            return pathfinder_files.read(share(listed, split), self.side)
        n = min(BLOCK, SIZES[split]) if self.part else SIZES[split]
        return generated(self.rules_of(int(self.contour)), split, n)

    def augment(self, values, generator):
        """(B, L) pictures, half of them mirrored left to right, half upside down."""
        from golden.tasks.pictures import mirror        # needs PyTorch
        return mirror(values, self.side, generator)


class PathX(Pathfinder):
    """Grey values v / 256 of 128 x 128 pixels; otherwise as :class:`Pathfinder`."""

    length = 128 * 128
    title, side, rules_of = "pathx", 128, staticmethod(rules128)
    source = Source(home=Pathfinder.source.home, licence=Pathfinder.source.licence,
                    folder="pathfinder", forms=(("pathfinder128/curv_contour_length_14",),),
                    made=Pathfinder.source.made)


def share(listed: list, split: str) -> list:
    """The published pictures of a split: 80, 10, 10 %, drawn once with seed 42."""
    order = np.random.default_rng(42).permutation(len(listed))
    ends = {"train": (0, 8), "val": (8, 9), "test": (9, 10)}[split]
    first, last = (len(listed) * tenths // 10 for tenths in ends)
    return [listed[k] for k in np.sort(order[first:last])]


def block(rules: Rules, split: str, number: int) -> dict[str, np.ndarray]:
    """Pictures ``number * BLOCK`` and following of a split; they depend on nothing else."""
    words = [VERSION, rules.size, rules.contour, SPLITS.index(split), number]
    seed, = np.random.SeedSequence(words).generate_state(1, np.uint64)
    made = pictures(rules, seed, BLOCK)
    return {"grey": made["grey"], "labels": made["labels"].astype(np.uint8)}


def fits(arrays: dict[str, np.ndarray], rules: Rules) -> bool:
    """Whether a file of the cache holds a block."""
    grey, labels = arrays["grey"], arrays["labels"]
    return (grey.shape == (BLOCK, rules.size, rules.size) and grey.dtype == np.uint8
            and labels.shape == (BLOCK,) and labels.dtype == np.uint8 and labels.max() <= 1)


def generated(rules: Rules, split: str, n: int) -> Split:
    """The first ``n`` pictures of a split: blocks from the cache, the missing ones generated.

    Blocks are made side by side, a thread for each core: the compiled loops leave Python's lock.
    An interrupted call goes on where it was, for each block is a file of its own.
    """
    values = np.empty((n, rules.size ** 2), np.uint8)
    labels = np.empty(n, np.int64)

    def put(number: int) -> int:
        name = Path("pathfinder", f"v{VERSION}-{rules.size}-{rules.contour}",
                    f"{split}-{number:03}.npz")
        found = data.cached(str(name), lambda: block(rules, split, number),
                            lambda arrays: fits(arrays, rules))
        rows = slice(number * BLOCK, min(n, (number + 1) * BLOCK))
        count = rows.stop - rows.start
        values[rows] = found["grey"][:count].reshape(count, -1)
        labels[rows] = found["labels"][:count]
        return count

    with (tqdm(total=n, desc=f"Pathfinder {rules.size}, {split}", unit="picture", leave=False,
               disable=None) as bar, ThreadPoolExecutor(CORES) as pool):
        try:
            for count in pool.map(put, range(-(-n // BLOCK))):
                bar.update(count)
        finally:
            pool.shutdown(cancel_futures=True)      # after an error or an interrupt
    return Split(values, np.full(n, values.shape[1]), labels)
