"""Spoken words: which one is said in a clip of a second? docs/speech.md says more.

Speech Commands (Warden, arXiv 1804.03209): ``sc10`` and ``sc35`` from its published form, ``sc4``
and ``sc10small`` from parts of it in eight bits at 8 kHz.
"""

from pathlib import Path

import numpy as np

from golden.tasks.data import DataError
from golden.tasks import audio, recordings, speech_commands
from golden.tasks.base import PART, Split, TaskError, counted, known_split
from golden.tasks.audio import ENCODINGS
from golden.tasks.sources import File, Source, again

RATES = {"16k": 16_000, "8k": 8_000}        # steps of a second
DEFAULT = "mulaw"                           # encoding: docs/decisions/0006-speech-encoding.md
TEN = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
ALL = TEN + ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "bed",
             "bird", "cat", "dog", "happy", "house", "marvin", "sheila", "tree", "wow", "backward",
             "follow", "forward", "learn", "visual")
SC4_FILE, SC10_FILE = "sc4_8k_ulaw.npz.xz", "sc10_small_8k_ulaw.npz.xz"
ARCHIVE, FOLDER = "speech_commands_v0.02.tar.gz", "speech_commands_v0.02"
HOME = "http://download.tensorflow.org/data/"


class Speech:
    """What the tasks share: variants, the cache of decoded clips, augmentation.

    A variant is a rate, an encoding and ``part`` (for files that hold only some clips), any of
    them, with - between: ``8k-bytes``. Each task says what it is by the members below.
    """

    task: str                       # its name, without a variant
    words: tuple[str, ...]          # the classes
    counts: dict[str, int]          # clips of each split
    source: Source
    rates = ("8k",)                 # the first is the default
    eight_bit = True                # the clips are mu-law codes, in any encoding
    ragged = False                  # clips keep their length; else all last a second
    shift = 0.1                     # seconds by which augmentation moves a clip, at most
    permutation = None

    def __init__(self, variant: str = ""):
        kinds = {"rate": self.rates, "encoding": tuple(ENCODINGS), "part": (PART,)}
        chosen = {}
        for piece in variant.split("-") if variant else ():
            kind = next((kind for kind, known in kinds.items() if piece in known), None)
            if kind is None or kind in chosen:
                raise TaskError(
                    f"variant {variant!r} of task {self.task} is unknown; known: a rate "
                    f"({', '.join(self.rates)}), an encoding ({', '.join(ENCODINGS)}) and {PART}, "
                    f"for files that hold only some clips; several with - between, as in "
                    f"{self.task}:8k-bytes")
            chosen[kind] = piece
        self.rate = chosen.get("rate", self.rates[0])
        self.encoding = chosen.get("encoding", DEFAULT)
        self.part = "part" in chosen
        pieces = [piece for piece in (self.rate, self.encoding, PART * self.part)
                  if piece not in ("", self.rates[0], DEFAULT)]
        self.name = ":".join([self.task] + ["-".join(pieces)] * bool(pieces))
        self.n_classes, self.length = len(self.words), RATES[self.rate]
        self.vocab = ENCODINGS[self.encoding].vocab
        self.sample_format = ENCODINGS[self.encoding].sample_format

    def read(self, path: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sound (n, L) as ``self.stored`` makes it, lengths (n,) and labels (n,), shuffled."""
        if path.name in (SC4_FILE, SC10_FILE):
            sound, labels = read_arrays(path, split, self.words)
        else:
            sound, labels = speech_commands.read(path, split, self.words, self.stored, self.length)
        return sound, np.full(len(labels), self.length), labels

    @property
    def stored(self):
        """What makes whole numbers of sound in [-1, 1]."""
        coded = self.eight_bit or self.encoding != "linear"
        return audio.eight_bit if coded else audio.sixteen_bit

    def load(self, split: str, data_dir=None) -> Split:
        """In an order of its own, fixed. Decoded clips are kept in the cache."""
        known_split(split)
        forms = [name for form in self.source.forms for name in form]
        path = self.source.find(forms, data_dir) or self.source.obtain(forms, data_dir)
        cached = (f"{self.source.folder}/{recordings.state(path)}/{self.task}-{self.rate}-"
                  f"{self.stored.__name__}-{split}{'-part' * self.part}-v{recordings.VERSION}")
        sound, lengths, labels = recordings.kept(cached, lambda: self._counted(
            self.source.obtain(forms, data_dir, check=not self.part), split), self.n_classes)
        return Split(ENCODINGS[self.encoding].raw(sound, lengths), lengths, labels)

    def _counted(self, path: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """:meth:`read`, if it finds as many clips as were published."""
        found = self.read(path, split)
        counted(len(found[2]), self.counts[split], f"{split} clips of task {self.task}", path, self)
        return found

    def augment(self, values, generator):
        """Raw sequences (B, L) a little earlier or later (``shift``), louder or softer (6 dB)."""
        from golden.tasks.shift_and_gain import shift_and_gain      # needs torch
        return shift_and_gain(values, generator, ENCODINGS[self.encoding],
                              round(self.shift * RATES[self.rate]), self.ragged)


def source(*before: str) -> Source:
    """Speech Commands as published; the files ``before`` are other forms that will do."""
    return Source(
        home=HOME + ARCHIVE, licence="CC BY 4.0", folder="speech_commands",
        forms=tuple((name,) for name in (*before, FOLDER, ARCHIVE)),
        files=(File(ARCHIVE, (HOME + ARCHIVE, "https://storage.googleapis.com/"
                              f"download.tensorflow.org/data/{ARCHIVE}"),
                    "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
                    stated="torchaudio, datasets/speechcommands.py; TensorFlow Datasets"),))


class SC10(Speech):
    """Ten words, all clips, official split."""

    task, words, rates, eight_bit = "sc10", TEN, ("16k", "8k"), False
    counts = {"train": 30_769, "val": 3_703, "test": 4_074}
    source = source()


class SC35(Speech):
    """All 35 words, official split."""

    task, words, rates, eight_bit = "sc35", ALL, ("16k", "8k"), False
    counts = {"train": 84_843, "val": 9_981, "test": 11_005}
    source = source()


class SC4(Speech):
    """Yes, no, up and down, official split, in eight bits at 8 kHz."""

    task, words = "sc4", TEN[:4]
    counts = {"train": 12_440, "val": 1_530, "test": 1_655}
    source = source(SC4_FILE)


class SC10Small(Speech):
    """Ten words, only the official test clips, split by speaker: no published figure compares."""

    task, words = "sc10small", TEN
    counts = {"train": 2_682, "val": 432, "test": 960}
    source = Source(home="", licence="CC BY 4.0", folder="speech_commands",
                    forms=((SC10_FILE,),))


def read_arrays(path: Path, split: str, words: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Sound (n, 8000) int8 and labels (n,) of a file of mu-law codes, shuffled."""
    codes, labels, found = recordings.arrays(path, f"x_{split}", f"y_{split}", "words")
    found, n = found.ravel().tolist(), labels.size
    if (found != list(words) or (codes.shape, codes.dtype, labels.shape) != (
            (n, RATES["8k"]), np.uint8, (n,)) or n == 0 or labels.dtype.kind not in "iu"
            or labels.min() < 0 or labels.max() >= len(words)):
        raise DataError(f"{path}: {split} clips {codes.shape} {codes.dtype} of the words "
                        f"{' '.join(map(str, found))}; expected bytes (n, 8000) of "
                        f"{' '.join(words)}; {again(path)}")
    order = recordings.shuffled(n)
    return audio.signed_codes(codes[order]), labels[order].astype(np.int64)
