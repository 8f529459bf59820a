"""ListOps: nested operations on lists of digits, sequences of 501 to 1,999 tokens.

The data is generated from its rules (``golden.tasks.listops_rules``) once, from a fixed seed, and
kept in the cache folder; or read from a data folder with ``listops/basic_{train,val,test}.tsv`` in
the published form. ``python -m golden.tasks.listops`` checks and writes such files.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from golden.tasks import data
from golden.base import cli
from golden.base.options import add_build, build, positive
from golden.tasks import listops_file
from golden.tasks.base import SPLITS, Split, known_split
from golden.tasks.listops_rules import trees
from golden.tasks.sources import Source

SIZES = {"train": 96_000, "val": 2_000, "test": 2_000}
VERSION = 1             # of seeds and generator: part of the cache's file name
BLOCK = 500             # trees from one seed
LENGTH = 2_000


class ListOps:
    """Tokens 1 to 15 (ten digits, ``[MIN [MAX [MED [SM``, ``]``), 0 is padding; 10 classes."""

    name, n_classes, length, vocab, sample_format = "listops", 10, LENGTH, 16, None
    source = Source(home="https://github.com/google-research/long-range-arena",
                    licence="Apache-2.0 (its rules)", folder="listops",
                    forms=(tuple(f"v{VERSION}-{split}.npz" for split in SIZES),
                           tuple(f"basic_{split}.tsv" for split in SIZES)),
                    made="generated from its rules at first use")

    def load(self, split: str, data_dir=None) -> Split:
        """A split; the first call for each generates it (test: seconds, train: about a minute)."""
        folder = data.folder(data_dir)
        published = folder and folder / "listops" / f"basic_{known_split(split)}.tsv"
        if published and published.is_file():
            return listops_file.read(published, LENGTH)
        n = SIZES[split]
        return padded(**data.cached(f"listops/v{VERSION}-{split}.npz",
                                    lambda: packed(generate(split, n)), lambda a: fits(a, n)))


def generate(split: str, n: int) -> Split:
    """The first ``n`` trees of a split; no tree twice in it."""
    stream = list(SIZES).index(split)
    values = np.zeros((n, LENGTH), np.uint8)
    lengths, labels = np.zeros(n, np.int64), np.zeros(n, np.int64)
    block = [np.zeros((BLOCK, LENGTH), np.uint8), np.zeros(BLOCK, np.int64),
             np.zeros(BLOCK, np.int64)]
    seen, done, number = set(), 0, 0
    with tqdm(total=n, desc=f"generating ListOps {split}", unit="tree", leave=False,
              disable=None) as bar:
        while done < n:
            seed = np.random.SeedSequence([VERSION, stream, number]).generate_state(1, np.uint64)
            trees(seed[0], BLOCK, *block)
            number += 1
            before = done
            for tokens, length, label in zip(*block):
                text = tokens[:length].tobytes()
                if text not in seen and done < n:
                    seen.add(text)
                    values[done], lengths[done], labels[done] = tokens, length, label
                    done += 1
            bar.update(done - before)
    return Split(values, lengths, labels)


def packed(split: Split) -> dict[str, np.ndarray]:
    """A split as it is kept in the cache: without its padding."""
    keep = np.arange(LENGTH) < split.lengths[:, None]
    return {"tokens": split.values[keep], "lengths": split.lengths.astype(np.int16),
            "labels": split.labels.astype(np.int8)}


def fits(arrays: dict[str, np.ndarray], n: int) -> bool:
    """Whether arrays of the cache are what :func:`packed` makes of ``n`` trees."""
    tokens, lengths, labels = (arrays[k] for k in ("tokens", "lengths", "labels"))
    return ([array.dtype for array in (tokens, lengths, labels)] == [np.uint8, np.int16, np.int8]
            and tokens.ndim == 1 and lengths.shape == labels.shape == (n,)
            and 1 <= lengths.min() <= lengths.max() <= LENGTH
            and 0 <= labels.min() <= labels.max() <= 9
            and 1 <= tokens.min() <= tokens.max() <= 15
            and lengths.sum(dtype=np.int64) == len(tokens) and len(arrays) == 3)


def padded(tokens: np.ndarray, lengths: np.ndarray, labels: np.ndarray) -> Split:
    """Inverse of :func:`packed`."""
    values = np.zeros((len(lengths), LENGTH), np.uint8)
    values[np.arange(LENGTH) < lengths[:, None]] = tokens
    return Split(values, lengths.astype(np.int64), labels.astype(np.int64))


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.tasks.listops", description="Trees in files.")
    commands = parser.add_subparsers(dest="command", required=True)
    checks = commands.add_parser("check", help="evaluate every tree of a file in the published "
                                 "form; exit code 1 if a target disagrees")
    checks.add_argument("file", type=Path)
    makes = commands.add_parser("generate", help="write trees in the published form")
    makes.add_argument("--split", choices=SPLITS, default="test", help="default %(default)s")
    makes.add_argument("-n", type=positive, help="trees; default: as many as the split has")
    makes.add_argument("--out", type=Path, help="file; default build/basic_SPLIT.tsv")
    add_build(makes)
    args = parser.parse_args()
    if args.command == "check":
        sys.exit(0 if listops_file.check(args.file) else 1)
    path = args.out or build(f"basic_{args.split}.tsv")
    listops_file.write(path, generate(args.split, args.n or SIZES[args.split]))
    print(path)


if __name__ == "__main__":
    cli.run("golden.tasks.listops", main)
