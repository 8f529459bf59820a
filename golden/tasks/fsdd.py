"""Spoken digits: the Free Spoken Digit Dataset, 3,000 clips of six speakers at 8 kHz.

Its home is a git repository: the archive of a version will do, or a copy of the repository, whose
folder ``recordings`` holds files ``{digit}_{speaker}_{take}.wav``.
"""

import re
from pathlib import Path

import numpy as np
from tqdm import tqdm

from golden.tasks.data import DataError
from golden.tasks import audio
from golden.tasks.recordings import arrays, files, shuffled
from golden.tasks.sources import File, Source, again, reading
from golden.tasks.speech import Speech

RATE = 8_000
ARRAYS, FOLDER = "fsdd_8k_ulaw.npz.xz", "recordings"
ARCHIVE = "free-spoken-digit-dataset-1.0.10.tar.gz"
HOME = "https://github.com/Jakobovski/free-spoken-digit-dataset"
CLIP = re.compile(r"(?:.*recordings/)?([0-9])_([a-z]+)_([0-9]+)\.wav")
TAKES = {"test": (0, 5), "val": (5, 10), "train": (10, 1000)}      # first, and behind the last


class FSDD(Speech):
    """Ten digits in eight bits; of each digit and speaker the takes 0 to 4 test, as published,
    5 to 9 validate. Clips keep their length; 20 longer than a second are cut."""

    task, ragged = "fsdd", True
    words = tuple("0123456789")
    counts = {"train": 2_400, "val": 300, "test": 300}
    shift = 0.02                # the clips are cut close
    source = Source(
        home=HOME, licence="CC BY-SA 4.0", folder="fsdd",
        forms=((ARRAYS,), (FOLDER,), (ARCHIVE,)),
        files=(File(ARCHIVE, (f"{HOME}/archive/refs/tags/v1.0.10.tar.gz",)),))

    def read(self, path: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sound, lengths, labels, takes = (read_arrays if path.name == ARRAYS else read_wavs)(path)
        first, behind = TAKES[split]
        chosen = np.flatnonzero((takes >= first) & (takes < behind))
        chosen = chosen[shuffled(len(chosen))]
        return sound[chosen], lengths[chosen], labels[chosen]


def read_arrays(path: Path) -> tuple[np.ndarray, ...]:
    """Sound (n, 8000) int8, lengths, labels and takes (n,) of a file of mu-law codes."""
    codes, *rest = arrays(path, "x", "length", "label", "take")
    n = codes.size // RATE
    if ((codes.shape, codes.dtype) != ((n, RATE), np.uint8) or n == 0
            or any(array.shape != (n,) or array.dtype.kind not in "iu" for array in rest)
            or rest[1].min() < 0 or rest[1].max() > 9 or rest[0].min() < 1
            or rest[0].max() > RATE):
        raise DataError(f"{path}: clips {codes.shape} {codes.dtype}; expected bytes (n, {RATE}), "
                        f"and for each its length, label and take; {again(path)}")
    lengths, labels, takes = (array.astype(np.int64) for array in rest)
    codes[np.arange(RATE) >= lengths[:, None]] = audio.SILENCE
    return audio.signed_codes(codes), lengths, labels, takes


def read_wavs(path: Path) -> tuple[np.ndarray, ...]:
    """The same of wav files, by digit, speaker and take. Of two channels the mean."""
    found = []
    with reading(path):
        for name, read_file in tqdm(files(path), desc="decoding", unit="file", leave=False):
            match = CLIP.fullmatch(name)
            if match:
                x = audio.eight_bit(audio.read_wav(read_file(), name, RATE, path, 2))
                found.append((int(match[1]), match[2], int(match[3]), len(x),
                              audio.fitted(x, RATE)))
    if not found:
        raise DataError(f"{path} holds no file {{digit}}_{{speaker}}_{{take}}.wav; {again(path)}")
    labels, _, takes, lengths, sound = zip(*sorted(found, key=lambda clip: clip[:3]))
    return (np.stack(sound), np.minimum(lengths, RATE).astype(np.int64),
            np.array(labels, np.int64), np.array(takes, np.int64))
