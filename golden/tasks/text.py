"""Text: is a film review positive or negative? Byte by byte, up to 4,096 of them.

The Large Movie Review Data set (Maas et al., 2011), as in the Long Range Arena.
"""

import re
from pathlib import Path

import numpy as np

from golden.tasks.data import DataError
from golden.tasks import bytetext
from golden.tasks.base import Split, counted, held_out, part_and_name, known_split
from golden.tasks.recordings import files
from golden.tasks.sources import File, Source, again, reading, unpacked

ARCHIVE, FOLDER = "aclImdb_v1.tar.gz", "aclImdb"
MEMBER = re.compile(r"(?:(?:.*/)?aclImdb/)?(train|test)/(neg|pos)/(\d+)_\d+\.txt")
REVIEWS = 25_000        # of train (val is a tenth of it) and of test


class Text:
    """Tokens byte + 1, padding 0; validation is a tenth of the 25,000 training reviews."""

    n_classes, length, vocab, sample_format = 2, 4096, bytetext.VOCAB, None
    source = Source(
        home="https://ai.stanford.edu/~amaas/data/sentiment/",
        licence="none stated; cite the paper", folder="imdb",
        forms=(("imdb_train.tsv.xz", "imdb_test.tsv.xz"), (FOLDER,), (ARCHIVE,)),
        files=(File(ARCHIVE, (f"https://ai.stanford.edu/~amaas/data/sentiment/{ARCHIVE}",),
                    "md5:7c2ac02c03563afcf9b574c7e56c153a", stated="torchtext, datasets/imdb.py"),))

    def __init__(self, variant: str = ""):
        self.part, self.name = part_and_name(variant, "text")

    def load(self, split: str, data_dir=None) -> Split:
        """In an order of its own, fixed, because the files have all negative reviews first."""
        half = "test" if known_split(split) == "test" else "train"
        path = self.source.obtain([f"imdb_{half}.tsv.xz", FOLDER, ARCHIVE], data_dir,
                                  check=not self.part)
        reviews = sorted(self._reviews(path, half))
        counted(len(reviews), REVIEWS, f"{half} reviews", path, self)
        order = np.random.default_rng(42).permutation(len(reviews))[held_out(len(reviews), split)]
        values, lengths = bytetext.tokens([reviews[k][2] for k in order], self.length)
        return Split(values, lengths, np.array([reviews[k][0] for k in order]))

    def _reviews(self, path: Path, half: str) -> list[tuple[int, int, bytes]]:
        """(label, number, text) of every review, from any form of the data."""
        with reading(path):
            found = (from_files if path.name in (FOLDER, ARCHIVE) else from_table)(path, half)
        if len({label for label, _, _ in found}) < 2 or not all(text for _, _, text in found):
            raise DataError(f"{path} lacks the {half} reviews of a class, or one is empty; "
                            f"{again(path)}")
        return found


def from_table(path: Path, half: str) -> list[tuple[int, int, bytes]]:
    """``label TAB number TAB rating TAB review``: a review may contain tabs itself."""
    reviews = []
    lines = unpacked(path).split(b"\n")
    for k, line in enumerate(lines[:-1] if not lines[-1] else lines):
        fields = line.split(b"\t", 3)
        if len(fields) < 4 or fields[0] not in (b"0", b"1") or not fields[1].isdigit():
            raise DataError(f"{path}, line {k + 1}: expected label 0 or 1, number, rating and "
                            f"review with tabs between; {again(path)}")
        reviews.append((int(fields[0]), int(fields[1]), fields[3]))
    return reviews


def from_files(path: Path, half: str) -> list[tuple[int, int, bytes]]:
    """The published archive, packed or not: ``aclImdb/train/neg/<number>_<rating>.txt``."""
    return [(int(found[2] == "pos"), int(found[3]), read()) for name, read in files(path)
            if (found := MEMBER.fullmatch(name)) and found[1] == half]
