"""Small data sets in the published forms: ``python -m bench.small_data DIR``.

For trying the tasks whose files are large: Speech Commands as a folder of recordings (words are
tones), and the ACL Anthology Network's pairs of texts. Give DIR by ``--data-dir`` and take the
tasks' parts: ``sc10:part``, ``sc35:part``, ``retrieval:part``.
"""

import argparse
import io
import wave
from pathlib import Path

import numpy as np

from golden.base import cli
from golden.base.files import write_all_atomic
from golden.tasks import retrieval
from golden.tasks.speech import SC35

RATE = 16_000
CLIPS = {"train": 4, "val": 1, "test": 2}       # of each word
PAIRS = {"train": 48, "val": 16, "test": 16}
WORDS = ("parser", "grammar", "corpus", "verb", "noun", "tree", "speech", "translation")


def tone(number: int, rng: np.random.Generator) -> bytes:
    """A recording, at most a second of a tone of its own for each word, with noise."""
    t = np.arange(rng.integers(RATE // 2, RATE + 1)) / RATE
    sound = 8000 * np.sin(2 * np.pi * 200 * 2 ** (number / 8) * t) + rng.normal(0, 500, len(t))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(sound.astype("<i2").tobytes())
    return file.getvalue()


def speech_commands(rng: np.random.Generator) -> dict[str, bytes]:
    """Files of the unpacked archive."""
    files, listed = {}, {"val": [], "test": []}
    for number, word in enumerate(SC35.words):
        for split, count in CLIPS.items():
            for k in range(count):
                name = f"{word}/{number:04x}{k:04x}_nohash_{list(CLIPS).index(split)}.wav"
                files[name] = tone(number, rng)
                if split in listed:
                    listed[split].append(name)
    for split, name in (("val", "validation_list.txt"), ("test", "testing_list.txt")):
        files[name] = "".join(f"{line}\n" for line in listed[split]).encode()
    return files


def pairs(rng: np.random.Generator) -> dict[str, bytes]:
    """The three tables: papers of label 1 are about the same."""
    def text(subject: int) -> str:
        about = np.where(rng.random(80) < 0.7, subject, rng.integers(0, len(WORDS), 80))
        return "b'" + "\\n".join(WORDS[k] for k in about) + "'"

    files = {}
    for split, count in PAIRS.items():
        rows = []
        for k in range(count):
            first, label = int(rng.integers(len(WORDS))), k % 2
            other = first if label else int(first + rng.integers(1, len(WORDS))) % len(WORDS)
            rows.append(f"{float(label)}\t{2 * k}\t{2 * k + 1}\t{text(first)}\t{text(other)}\n")
        files[retrieval.NAMES[split]] = "".join(rows).encode()
    return files


def make(folder: Path) -> None:
    """Write everything below ``folder``."""
    rng = np.random.default_rng(0)
    below = {"speech_commands/speech_commands_v0.02": speech_commands(rng), "aan": pairs(rng)}
    write_all_atomic(folder, {f"{place}/{name}": content for place, files in below.items()
                              for name, content in files.items()})


def main() -> None:
    parser = argparse.ArgumentParser("bench.small_data", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    args = parser.parse_args()
    make(args.folder)
    print(f"{args.folder}: use it as --data-dir with sc10:part, sc35:part or retrieval:part")


if __name__ == "__main__":
    cli.run("bench.small_data", main)
