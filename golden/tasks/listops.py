"""ListOps: nested operations on lists of digits, sequences of 501 to 1,999 tokens.

The data is generated from its rules (``golden.tasks.listops_rules``) once, from a fixed seed, and
kept in the cache folder; or read from a data folder with ``listops/basic_{train,val,test}.tsv`` in
the published format.
"""

import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from golden import data
from golden.tasks.base import Split, known_split
from golden.tasks.listops_rules import flat, trees
from golden.tasks.sources import Source

SIZES = {"train": 96_000, "val": 2_000, "test": 2_000}
VERSION = 1             # of seeds and generator: part of the cache's file name
BLOCK = 500             # trees from one seed
LENGTH = 2_000


class ListOps:
    """Tokens 1 to 15 (ten digits, ``[MIN [MAX [MED [SM``, ``]``), 0 is padding; 10 classes."""

    name, n_classes, length, vocab, sample_format = "listops", 10, LENGTH, 16, None
    source = Source(home="https://github.com/google-research/long-range-arena",
                    licence="Apache-2.0", folder="listops",
                    forms=(tuple(f"v{VERSION}-{split}.npz" for split in SIZES),
                           tuple(f"basic_{split}.tsv" for split in SIZES)),
                    made="generated from its rules at first use")

    def load(self, split: str, data_dir=None) -> Split:
        """A split; the first call for each generates it (test: seconds, train: about a minute)."""
        folder = data.folder(data_dir)
        published = folder and folder / "listops" / f"basic_{known_split(split)}.tsv"
        if published and published.is_file():
            return read_tsv(published)
        path = data.cache_folder() / "listops" / f"v{VERSION}-{split}.npz"
        found = read_cache(path, SIZES[split])
        if found is None:
            found = generate(split, SIZES[split])
            write_cache(path, found)
        return found


def generate(split: str, n: int) -> Split:
    """The first ``n`` trees of a split; no tree twice in it."""
    stream = list(SIZES).index(split)
    values = np.zeros((n, LENGTH), np.uint8)
    lengths, labels = np.zeros(n, np.int64), np.zeros(n, np.int64)
    block = [np.zeros((BLOCK, LENGTH), np.uint8), np.zeros(BLOCK, np.int64),
             np.zeros(BLOCK, np.int64)]
    seen, done, number = set(), 0, 0
    with tqdm(total=n, desc=f"generating ListOps {split}", unit="tree", leave=False) as bar:
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


def write_cache(path: Path, split: Split) -> None:
    """Under a temporary name, then renamed; the padding is left out."""
    keep = np.arange(LENGTH) < split.lengths[:, None]
    data.write_atomically(path, lambda file: np.savez_compressed(
        file, tokens=split.values[keep], lengths=split.lengths.astype(np.int16),
        labels=split.labels.astype(np.int8)))


def read_cache(path: Path, n: int) -> Split | None:
    """What :func:`write_cache` wrote, or None if it is not there, damaged or of another size."""
    try:
        with np.load(path) as stored:
            tokens, lengths, labels = (stored[k] for k in ("tokens", "lengths", "labels"))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    if len(lengths) != n or len(labels) != n or lengths.sum(dtype=np.int64) != len(tokens):
        return None
    values = np.zeros((n, LENGTH), np.uint8)
    values[np.arange(LENGTH) < lengths[:, None]] = tokens
    return Split(values, lengths.astype(np.int64), labels.astype(np.int64))


def read_tsv(path: Path) -> Split:
    """A published file: tab separated, header ``Source``, ``Target``; cut at 2,000 tokens."""
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        raise data.DataError(f"{path} is no text file; fetch it again") from None
    if not lines or lines[0].split("\t") != ["Source", "Target"]:
        raise data.DataError(f"{path}: the first line must be Source TAB Target")
    if len(lines) == 1:
        raise data.DataError(f"{path} holds no tree; fetch it again")
    values = np.zeros((len(lines) - 1, LENGTH), np.uint8)
    lengths, labels = np.zeros(len(values), np.int64), np.zeros(len(values), np.int64)
    for k, line in enumerate(lines[1:]):
        try:
            source, target = line.split("\t")
            tokens = flat(source)[:LENGTH]
            labels[k] = int(target)
            if not tokens or not 0 <= labels[k] <= 9:
                raise ValueError
        except (KeyError, ValueError):
            raise data.DataError(f"{path}, line {k + 2}: expected a tree of ListOps symbols, a tab "
                                 f"and a digit; fetch it again") from None
        values[k, :len(tokens)], lengths[k] = tokens, len(tokens)
    return Split(values, lengths, labels)
