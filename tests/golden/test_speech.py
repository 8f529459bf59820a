"""Speech: tasks from small files in the published forms, what is refused, the cache."""

import gzip
import lzma
import multiprocessing
import os

import numpy as np
import pytest
from scipy.signal import resample_poly

from golden.tasks import data
from golden.tasks import SPLITS, TaskError, audio, checked, make_task, recordings, spec
from golden.tasks.speech import ALL, ARCHIVE, FOLDER, SC4_FILE, SC10_FILE, TEN
from tests.golden.sound_files import (FILES, RNG, lay, noise, own_folders, pack, refused,
                                      samples_of, small_speech_commands, wav, write_arrays)

__all__ = ["own_folders"]       # a fixture


def slow_mulaw(x: float) -> int:
    """The formula for one sample."""
    y = np.sign(x) * np.log(1 + 255 * abs(x)) / np.log(256)
    return int(np.rint((y + 1) * 127.5))


def test_mulaw():
    x = np.concatenate([[0, -1, 1, 1 / 32768, -1 / 32768, 32767 / 32768], RNG.uniform(-1, 1, 500)])
    codes = audio.mulaw(x)
    assert codes.tolist() == [slow_mulaw(v) for v in x]
    assert codes[:3].tolist() == [128, 0, 255] and audio.mulaw(np.array([1.5])).tolist() == [255]
    assert np.array_equal(audio.mulaw(audio.LINEAR / 32768), np.arange(256))    # there and back
    y = np.arange(256) / 127.5 - 1
    there = np.sign(y) * (256.0 ** abs(y) - 1) / 255
    others = np.arange(256) != 128
    assert abs(audio.LINEAR / 32768 - there)[others].max() <= 1 / 32768 and audio.LINEAR[128] == 0
    signed = audio.signed_codes(np.arange(256, dtype=np.uint8))
    assert signed.tolist() == list(range(-128, 128))
    assert np.array_equal(audio.to_linear(signed), audio.LINEAR)


@pytest.mark.parametrize("form", ["archive", "folder"])
@pytest.mark.parametrize("variant", ["", "linear", "bytes", "8k", "8k-linear", "8k-bytes"])
def test_sc10_from_the_published_form(tmp_path, form, variant):
    if form == "archive":
        pack(tmp_path / "speech_commands" / ARCHIVE, FILES)
    else:
        lay(tmp_path / "speech_commands" / FOLDER, FILES)
    task = make_task("sc10:" + (variant + "-part").removeprefix("-"))
    seen = {}
    for split in SPLITS:
        got = checked(task.load(split, tmp_path), task)
        assert len(got) == 10 and (got.lengths == task.length).all()
        assert sorted(got.labels) == list(range(10)) and got.labels.tolist() != list(range(10))
        seen[split] = dict(zip(got.labels.tolist(), got.values))
    for name, content in FILES.items():
        if name.split("/")[0] not in TEN:
            continue
        split = SPLITS[int(name[-5])]
        x = samples_of(content) / 32768
        if "8k" in variant:
            x = resample_poly(x, 1, 2)
        x = np.concatenate([x, np.zeros(task.length - len(x))])
        if "linear" in variant:
            wanted = np.clip(np.rint(32768 * x), -32768, 32767)
        else:
            wanted = audio.mulaw(x).astype(int) + (1 if "bytes" in variant else -128)
        assert np.array_equal(seen[split][TEN.index(name.split("/")[0])], wanted)


def test_the_cache_answers_until_the_files_change(tmp_path, monkeypatch):
    folder = tmp_path / "speech_commands" / FOLDER
    lay(folder, FILES)
    task = make_task("sc10:8k-part")
    first = task.load("val", tmp_path).values.copy()
    with monkeypatch.context() as patch:
        patch.setattr(audio, "read_wav", None)
        assert np.array_equal(task.load("val", tmp_path).values, first)
    assert task.load("val", tmp_path).values.flags.writeable        # as torch wants it
    kept, = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    whole = kept.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], b"x" * len(whole), b"\x93NUMPY"):
        kept.write_bytes(damaged)
        assert np.array_equal(task.load("val", tmp_path).values, first)
        assert kept.read_bytes() == whole
    with pytest.raises(data.DataError, match="holds 10 val clips"):
        make_task("sc10:8k").load("val", tmp_path)
    linear = make_task("sc10:8k-linear-part").load("val", tmp_path).values
    assert len(np.unique(linear)) > 256         # not the decoded codes
    assert make_task("sc10:part").load("val", tmp_path).values.shape == (10, 16_000)
    next(folder.glob("yes/*1.wav")).write_bytes(wav(np.zeros(8_000)))
    changed = task.load("val", tmp_path).values
    assert (changed == first).all(1).sum() == 9 and (changed == 0).all(1).sum() == 1


def load_both(folder, cache, queue):
    os.environ[data.CACHE_ENV] = cache
    queue.put(make_task("sc10:8k-part").load("test", folder).values.tobytes())


def test_two_processes_at_once(tmp_path):
    pack(tmp_path / "speech_commands" / ARCHIVE, FILES)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    both = [context.Process(target=load_both, args=(tmp_path, str(tmp_path / "cache"), queue))
            for _ in range(2)]
    for process in both:
        process.start()
    first, second = (queue.get(timeout=60) for _ in both)
    for process in both:
        process.join(60)
    assert first == second and len(first) == 80_000
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 1


def test_sc35(tmp_path):
    assert len(ALL) == len(set(ALL)) == 35 and make_task("sc35").n_classes == 35
    files = small_speech_commands(sorted(ALL))
    pack(tmp_path / "speech_commands" / ARCHIVE, files)
    got = make_task("sc35:8k-part").load("test", tmp_path)
    assert sorted(got.labels) == list(range(35))
    name = next(name for name in files if name.startswith("visual/") and name.endswith("2.wav"))
    x = resample_poly(samples_of(files[name]) / 32768, 1, 2)
    row = got.values[list(got.labels).index(34)]
    assert np.array_equal(row[:len(x)].astype(int) + 128, audio.mulaw(x))
    assert (row[len(x):] == 0).all()


def test_sc4_from_arrays_and_from_the_published_form_agree(tmp_path):
    """Clips in the order of their names, as the file of arrays has them."""
    arrays = {"words": np.array(TEN[:4])}
    for k, split in enumerate(SPLITS):
        names = sorted(name for name in FILES if name.split("/")[0] in TEN[:4]
                       and name[-5] == str(k))
        codes = [audio.mulaw(resample_poly(samples_of(FILES[name]) / 32768, 1, 2))
                 for name in names]
        arrays[f"x_{split}"] = np.stack([np.pad(c, (0, 8000 - len(c)), constant_values=128)
                                         for c in codes])
        arrays[f"y_{split}"] = np.array([TEN.index(name.split("/")[0]) for name in names],
                                        np.uint8)
    write_arrays(tmp_path / "a" / "speech_commands" / SC4_FILE, **arrays)
    pack(tmp_path / "b" / "speech_commands" / ARCHIVE, FILES)
    for variant in ("part", "linear-part", "bytes-part"):
        task = make_task(f"sc4:{variant}")
        for split in SPLITS:
            a, b = (checked(task.load(split, tmp_path / place), task) for place in "ab")
            assert np.array_equal(a.values, b.values) and np.array_equal(a.labels, b.labels)
            assert len(a) == 4


def arrays_of_ten(n=3, **changed) -> dict[str, np.ndarray]:
    made = {"words": np.array(TEN)}
    for split in SPLITS:
        made[f"x_{split}"] = RNG.integers(0, 256, (n, 8000)).astype(np.uint8)
        made[f"y_{split}"] = np.arange(n, dtype=np.uint8)
    made.update(changed)
    return made


def test_sc10small(tmp_path):
    made = arrays_of_ten()
    write_arrays(tmp_path / "speech_commands" / SC10_FILE, **made)
    task = make_task("sc10small:part")
    got = checked(task.load("train", tmp_path), task)
    assert np.array_equal(got.values.astype(int) + 128, made["x_train"][got.labels])
    with pytest.raises(data.DataError, match=f"{SC10_FILE} does not exist; it has no public home"):
        make_task("sc10small").load("train")


@pytest.mark.parametrize("content, message", [
    (b"", "is damaged"), (b"hello", "is damaged"), (lzma.compress(b"hello"), "is damaged"),
    ({"x_train": np.zeros((3, 16_000), np.uint8)}, "expected bytes (n, 8000)"),
    ({"x_train": np.zeros((3, 8_000), np.int16)}, "expected bytes (n, 8000)"),
    ({"y_train": np.array([0, 1, 10])}, "expected bytes (n, 8000)"),
    ({"words": np.array(TEN[::-1])}, "of the words go stop"),
    ({"x_val": None}, "is damaged"), ({}, "holds 3 train clips of task sc10small, not 2,682")],
    ids=["empty", "text", "packed text", "other length", "other type", "other label",
         "other words", "an object", "few"])
def test_bad_arrays(tmp_path, content, message):
    path = tmp_path / "speech_commands" / SC10_FILE
    if isinstance(content, dict):
        made = arrays_of_ten(**content)
        if "x_val" in content:
            made["x_train"] = np.array([None] * 3)
        write_arrays(path, **made)
    else:
        path.parent.mkdir()
        path.write_bytes(content)
    refused(tmp_path, "sc10small", "train", message)


NAME = next(name for name in FILES if name.startswith("no/") and name.endswith("0.wav"))


@pytest.mark.parametrize("content, message", [
    (wav(noise(22_050), 22_050),
     f"{NAME} has 22050 Hz, 16 bits, channels: 1; it must have 16000 Hz"),
    (wav(noise(16_000), channels=2), "channels: 2; it must have 16000 Hz, 16 bits, 1 channel"),
    (wav(np.zeros(16_000), width=1), "8 bits"), (wav([]), "holds 0 samples"),
    (FILES[NAME][:3000], "holds 1478 samples, its header says 16000"),
    (FILES[NAME][:30], "is not a wav file"), (b"", "is not a wav file"),
    (b"RIFF", "is not a wav file"),
    (b"fLaC" * 50, "is not a wav file")],
    ids=["rate", "stereo", "8 bits", "no sample", "truncated", "header only", "empty", "RIFF",
         "flac"])
def test_bad_clip(tmp_path, content, message):
    lay(tmp_path / "speech_commands" / FOLDER, FILES | {NAME: content})
    refused(tmp_path, "sc10:8k-part", "train", message)


def test_bad_archive(tmp_path):
    path = tmp_path / "speech_commands" / ARCHIVE
    refused(tmp_path, "sc10", "test", f"nor does {ARCHIVE} beside it; get {ARCHIVE} from")
    pack(path, FILES)
    whole = path.read_bytes()
    refused(tmp_path, "sc10", "test", "expected af14739e")
    for damaged in (b"", b"hello", whole[:-20_000], whole[:5000], gzip.compress(b"hello"),
                    whole[:40_000] + bytes(1000) + whole[41_000:]):
        path.write_bytes(damaged)
        refused(tmp_path, "sc10:part", "test", str(path))
    for missing, message in (("testing_list.txt", "has no testing_list.txt in it"),
                             (NAME[:-5] + "2.wav", ""), (None, "")):
        files = dict(FILES)
        if missing == "testing_list.txt":
            del files[missing]
        elif missing:
            lost = next(name for name in files if name.startswith("no/") and name.endswith("2.wav"))
            del files[lost]
            message = f"lacks 1 of the clips that testing_list.txt names, the first is {lost}"
        else:
            files["testing_list.txt"] = b""
            message = "holds 0 test clips of task sc10, not 4,074"
        pack(path, files)
        refused(tmp_path, "sc10:part", "test", message)
    path.unlink()
    lay(tmp_path / "speech_commands" / FOLDER, FILES)
    refused(tmp_path, "sc10:8k", "test", "or use task sc10:8k-part for files that hold only some")


@pytest.mark.parametrize("name, canonical", [
    ("sc10", "sc10"), ("sc10:16k", "sc10"), ("sc10:8k", "sc10:8k"),
    ("sc35:bytes-8k", "sc35:8k-bytes"), ("sc4:8k-bytes", "sc4:bytes"), ("fsdd", "fsdd"),
    ("sc10small:linear", "sc10small:linear"), ("sc10:8k-linear-part", "sc10:8k-linear-part")])
def test_names(name, canonical):
    task = make_task(name)
    assert task.name == spec(task) == canonical and spec(make_task(spec(task))) == canonical
    assert task.length == (16_000 if "8k" not in canonical and "sc10" == canonical else 8_000)
    kind = next((kind for kind in ("bytes", "linear") if kind in canonical), "mulaw")
    assert (task.vocab, str(task.sample_format)) == {
        "bytes": (257, "None"), "linear": (0, "SQ(1,15)"), "mulaw": (0, "SQ(1,7)")}[kind]


@pytest.mark.parametrize("name", ["sc4:16k", "sc10:4k", "sc10:8k-16k", "fsdd:flac", "sc4:-",
                                  "sc10:8k-8k", "sc35:8k-"])
def test_unknown_variants(name):
    with pytest.raises(TaskError, match="known: a rate .*8k.* an encoding .mulaw, linear, bytes"):
        make_task(name)


def test_published_counts():
    """As the paper and its users state them; they add up to all clips of v0.02."""
    assert sum(make_task("sc35").counts.values()) == 105_829
    for task, cls in (("sc10", 38_546), ("sc4", 15_625), ("sc10small", 4_074), ("fsdd", 3_000)):
        assert sum(make_task(task).counts.values()) == cls
    assert recordings.shuffled(5).tolist() != list(range(5))
