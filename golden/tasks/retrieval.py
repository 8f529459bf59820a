"""Retrieval: does one paper cite another? Two texts of up to 4,000 bytes each.

The ACL Anthology Network (Radev et al., 2009) in pairs, as in the Long Range Arena. Its files have
no header and five columns with tabs between: label (0.0 or 1.0), two numbers, two texts. The texts
stand there as Python writes bytes, ``b'...'`` with ``\\n`` and the like for what is no printable
ASCII, and the Long Range Arena's own loader takes the characters as they stand: so does this one.
"""

import shutil
import tarfile
from pathlib import Path

import numpy as np

from golden.tasks import data
from golden.tasks.data import DataError
from golden.tasks import bytetext
from golden.tasks.base import Split, counted, part_and_name, known_split
from golden.tasks.sources import File, Source, Unpacked, again, reading

ARCHIVE = "lra_release.gz"
NAMES = {"train": "new_aan_pairs.train.tsv", "val": "new_aan_pairs.eval.tsv",
         "test": "new_aan_pairs.test.tsv"}
PAIRS = {"train": 147_086, "val": 18_090, "test": 17_437}      # Gu et al., 2022 (S4), appendix D
LINE = 1 << 24          # bytes, at most
LABELS = {b"0": 0, b"0.0": 0, b"1": 1, b"1.0": 1}


class Retrieval:
    """Tokens byte + 1, padding 0; the published three files are the three splits."""

    n_classes, length, vocab, sample_format = 2, 4000, bytetext.VOCAB, None
    inputs = 2
    source = Source(
        home="https://github.com/google-research/long-range-arena",
        licence="papers: CC BY-NC-SA 3.0", folder="aan", forms=(tuple(NAMES.values()), (ARCHIVE,)),
        files=(File(ARCHIVE, (f"https://storage.googleapis.com/long-range-arena/{ARCHIVE}",)),))

    def __init__(self, variant: str = ""):
        self.part, self.name = part_and_name(variant, "retrieval")

    def load(self, split: str, data_dir=None) -> Split:
        name = NAMES[known_split(split)]
        path = self.source.obtain([name, ARCHIVE], data_dir)
        if path.name == ARCHIVE:
            path = unpacked(path, name, data.cache_folder() / self.source.folder)
        found = read(path, self.length)
        counted(len(found), PAIRS[split], f"{split} pairs", path, self)
        return found


def unpacked(archive: Path, name: str, folder: Path) -> Path:
    """The file ``name`` of the archive (7.7 GB packed), in a folder of the cache for this one."""
    with reading(archive):
        known = archive.stat()
        path = folder / f"{archive.stem}-{known.st_size}-{known.st_mtime_ns}" / name
        if path.exists():
            return path
        with Unpacked(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
            for member in members:
                if member.isfile() and Path(member.name).name == name:
                    found = members.extractfile(member)
                    data.write_atomically(path, lambda file: shutil.copyfileobj(found, file))
                    return path
    raise DataError(f"{archive} has no {name} in it; {again(archive)}")


def read(path: Path, length: int) -> Split:
    """A published file; values (n, 2, L) cut at ``length``."""
    texts, labels = [], []
    with reading(path), open(path, "rb") as file:
        for k, line in enumerate(iter(lambda: file.readline(LINE), b"")):
            fields = line.rstrip(b"\r\n").split(b"\t")
            if len(fields) != 5 or not line.endswith(b"\n") or not all(fields):
                raise DataError(f"{path}, line {k + 1}: expected label, two numbers and two texts "
                                f"with tabs between, and a line end; {again(path)}")
            if fields[0] not in LABELS:
                raise DataError(f"{path}, line {k + 1}: the label is "
                                f"{fields[0][:20].decode(errors='replace')!r}, neither 0.0 nor "
                                f"1.0; {again(path)}")
            labels.append(LABELS[fields[0]])
            texts += [fields[3][:length], fields[4][:length]]
    if not labels:
        raise DataError(f"{path} holds no pair; {again(path)}")
    values, lengths = bytetext.tokens(texts, length)
    return Split(values.reshape(len(labels), 2, -1), lengths.reshape(-1, 2), np.array(labels))
