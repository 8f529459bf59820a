"""The Free Spoken Digit Dataset from small files in its published form, and what is refused."""

import numpy as np
import pytest

from golden.tasks import data
from golden.tasks import SPLITS, audio, checked, make_task
from golden.tasks.fsdd import ARCHIVE
from tests.golden.sound_files import (lay, noise, own_folders, pack, refused, samples_of,
                                      wav, write_arrays)


__all__ = ["own_folders"]       # a fixture
SPEAKERS = ("ada", "bob")


def fsdd_files(takes=range(12)) -> dict[str, bytes]:
    """The repository: every third clip longer than a second, some stereo."""
    files = {"README.md": b"x"}
    for digit in range(10):
        for speaker in SPEAKERS:
            for take in takes:
                n = 9_000 if take % 3 == 1 else 500 + 10 * take + digit
                x = noise(2 * n if speaker == "bob" else n)
                files[f"recordings/{digit}_{speaker}_{take}.wav"] = wav(
                    x, 8_000, 2 if speaker == "bob" else 1)
    return files


@pytest.mark.parametrize("form", ["repository", "archive"])
def test_fsdd(tmp_path, form):
    files = fsdd_files()
    if form == "archive":
        pack(tmp_path / "fsdd" / ARCHIVE,
             {f"free-spoken-digit-dataset-1.0.10/{name}": x for name, x in files.items()})
    else:
        lay(tmp_path / "fsdd", files)
    task = make_task("fsdd:part")
    for split, takes in (("test", range(5)), ("val", range(5, 10)), ("train", range(10, 12))):
        got = checked(task.load(split, tmp_path), task)
        wanted = []
        for digit in range(10):
            for speaker in SPEAKERS:
                for take in takes:
                    x = samples_of(files[f"recordings/{digit}_{speaker}_{take}.wav"]) / 32768
                    x = x.reshape(-1, 2).mean(1) if speaker == "bob" else x
                    codes = audio.mulaw(x[:8000])
                    wanted.append((digit, len(codes), (codes.astype(int) - 128).tolist()))
        found = [(int(y), int(n), v[:n].tolist())
                 for y, n, v in zip(got.labels, got.lengths, got.values)]
        assert sorted(found) == sorted(wanted) and got.lengths.max() == 8000
        behind = np.arange(8000) >= got.lengths[:, None]
        assert (got.values[behind] == 0).all() and behind.any()
        tokens = make_task("fsdd:bytes-part").load(split, tmp_path).values
        assert (tokens[behind] == 0).all()
        assert (tokens[~behind] == got.values[~behind].astype(int) + 129).all()


def test_fsdd_from_arrays_and_from_the_repository_agree(tmp_path):
    files = {name: x for name, x in fsdd_files((4, 5, 10)).items() if name.endswith("wav")}
    lay(tmp_path / "a" / "fsdd", files)
    parsed = sorted((int(d), s, int(t.removesuffix(".wav"))) for d, s, t in
                    (name.removeprefix("recordings/").split("_") for name in files))
    x, length = np.full((len(parsed), 8000), 128, np.uint8), []
    for row, (digit, speaker, take) in zip(x, parsed):
        sound = samples_of(files[f"recordings/{digit}_{speaker}_{take}.wav"]) / 32768
        sound = sound.reshape(-1, 2).mean(1) if speaker == "bob" else sound
        length.append(min(len(sound), 8000))
        row[:length[-1]] = audio.mulaw(sound[:8000])
    whole = dict(x=x, length=np.array(length, np.uint16),
                 label=np.array([d for d, _, _ in parsed], np.uint8),
                 take=np.array([t for _, _, t in parsed], np.uint8))
    x[np.arange(8000) >= np.array(length)[:, None]] = 7         # what stands there does not count
    path = tmp_path / "b" / "fsdd" / "fsdd_8k_ulaw.npz.xz"
    write_arrays(path, **whole)
    for split in SPLITS:
        a, b = (make_task("fsdd:part").load(split, tmp_path / place) for place in "ab")
        assert all(np.array_equal(getattr(a, name), getattr(b, name))
                   for name in ("values", "lengths", "labels"))
    for wrong in ({"length": whole["length"] * 0}, {"length": whole["length"] + 8000},
                  {"label": whole["label"] + 1}, {"x": x[:, :4000]}, {"take": whole["take"][1:]}):
        write_arrays(path, **whole | wrong)
        with pytest.raises(data.DataError, match="expected bytes .n, 8000."):
            make_task("fsdd:part").load("test", tmp_path / "b")


@pytest.mark.parametrize("files, message", [
    ({"recordings/0_ada_0.wav": wav(noise(100), 16_000)}, "0_ada_0.wav has 16000 Hz"),
    ({"recordings/zero.wav": wav(noise(100), 8_000)}, "holds no file {digit}_{speaker}_{take}.wav"),
    ({"recordings/0_ada_0.wav": wav(noise(100), 8_000)},
     "holds 1 test clips of task fsdd, not 300")],
    ids=["rate", "names", "few"])
def test_bad_fsdd(tmp_path, files, message):
    lay(tmp_path / "fsdd", files)
    refused(tmp_path, "fsdd", "test", message)
    refused(tmp_path / "fsdd", "fsdd", "test", "nor does recordings or")
