"""The published form of Speech Commands v0.02: an archive, or the folder unpacked from it.

In it are a folder of wav files for each word, and two lists, of the clips that test and of those
that validate; all others train. The clips are of 16 kHz, 16 bits, one channel, a second or less.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from golden.tasks.data import DataError
from golden.tasks import audio
from golden.tasks.recordings import files, shuffled
from golden.tasks.sources import again, reading

RATE = 16_000
LISTS = {"test": "testing_list.txt", "val": "validation_list.txt"}
CLIP = re.compile(r"([a-z]+)/[0-9a-f]+_nohash_[0-9]+\.wav")


def clips(path: Path, words: tuple[str, ...]) -> dict[str, list[str]]:
    """Names of the clips of ``words`` in each split, sorted.

    Raises :class:`DataError` if a list or a clip that it names is missing.
    """
    names, listed = set(), {}
    with reading(path, UnicodeDecodeError):
        for name, read_file in files(path):
            match = CLIP.fullmatch(name)
            if name in LISTS.values():
                listed[name] = read_file().decode("ascii").split()
            elif match and match[1] in words:
                names.add(name)
    found = {}
    for split, list_name in LISTS.items():
        if list_name not in listed:
            raise DataError(f"{path} has no {list_name} in it; {again(path)}")
        found[split] = {name for name in listed[list_name] if name.split("/")[0] in words}
        missing = sorted(found[split] - names)
        if missing:
            raise DataError(f"{path} lacks {len(missing):,} of the clips that {list_name} names, "
                            f"the first is {missing[0]}; {again(path)}")
    found["train"] = names - found["test"] - found["val"]
    return {split: sorted(names) for split, names in found.items()}


def read(path: Path, split: str, words: tuple[str, ...], stored: Callable, rate: int
         ) -> tuple[np.ndarray, np.ndarray]:
    """Sound (n, rate) and labels (n,) of a split, sorted by the clips' names, then shuffled.

    ``stored`` makes whole numbers of sound in [-1, 1]: ``audio.eight_bit`` or
    ``audio.sixteen_bit``. ``rate`` is 16,000 or half of it. Clips shorter than a second are
    filled up with silence.
    """
    names = clips(path, words)[split]
    names = [names[k] for k in shuffled(len(names))]
    rows = {name: k for k, name in enumerate(names)}
    sound = np.zeros((len(names), rate), stored(np.zeros(1)).dtype)
    with reading(path), tqdm(total=len(names), desc=f"decoding {split}", unit="clip",
                             leave=False) as bar:
        for name, read_file in files(path):
            if name in rows:
                x = audio.read_wav(read_file(), name, RATE, path)
                if rate < RATE:
                    x = audio.half_rate(x)
                sound[rows[name]] = audio.fitted(stored(x), rate)
                bar.update()
    labels = np.array([words.index(name.split("/")[0]) for name in names], np.int64)
    return sound, labels
