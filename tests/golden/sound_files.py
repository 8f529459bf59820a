"""Small data sets of sound in the published forms, for the tests of the tasks."""

import io
import lzma
import re
import tarfile
import wave

import numpy as np
import pytest

from golden.tasks import data
from golden.tasks import SPLITS, make_task
from golden.tasks.speech import TEN

RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """An empty cache, no data folder; for every test of a file that imports it."""
    monkeypatch.setenv(data.CACHE_ENV, str(tmp_path / "cache"))
    monkeypatch.delenv(data.ENV, raising=False)


def wav(samples, rate=16_000, channels=1, width=2) -> bytes:
    """A wav file of int16 samples (or of their low bytes)."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, {1: "u1", 2: "<i2"}[width]).tobytes())
    return out.getvalue()


def noise(n: int) -> np.ndarray:
    return RNG.integers(-32768, 32768, n).astype(np.int16)


def small_speech_commands(words=TEN) -> dict[str, bytes]:
    """Published form: of each word a clip of each split, one of them short."""
    files, lists = {"README.md": b"x", "LICENSE": b"x"}, {"test": [], "val": []}
    for k, word in enumerate(words):
        for j, split in enumerate(SPLITS):
            name = f"{word}/{k:04x}000{j}_nohash_{j}.wav"
            files[name] = wav(noise(16_000 if split != "test" else 9_001 + k))
            if split in lists:
                lists[split].append(name)
    files["_background_noise_/pink_noise.wav"] = wav(noise(20_000))
    files["testing_list.txt"] = "".join(name + "\n" for name in lists["test"]).encode()
    files["validation_list.txt"] = "".join(name + "\n" for name in lists["val"]).encode()
    return files


FILES = small_speech_commands()


def pack(path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def lay(folder, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def samples_of(content: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(content)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def write_arrays(path, **arrays) -> None:
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(packed.getvalue(), preset=0))


def refused(tmp_path, name: str, split: str, message: str) -> None:
    """One line that says so, and nothing left in the cache."""
    with pytest.raises(data.DataError, match=re.escape(message)) as error:
        make_task(name).load(split, tmp_path)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
