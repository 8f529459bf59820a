"""Data files of the tasks in their published forms, small, and the caches made from them.

What a file says is what it means: another value that a task allows is valid.
"""

import gzip
import hashlib
import io
import lzma
import os
import pickle
import tarfile
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from bench.attack import arrays, forms
from bench.attack.edits import Rng, pick
from bench.attack.target import Harm, Target
from golden.tasks import Split, checked, data, listops, listops_file, make_task, psmnist
from golden.tasks.pathfinder_rules import pictures, rules32
from golden.tasks.speech import TEN

TREES = 6
CACHE = "cache"
Files = dict[str, bytes]


def drawn(seed: int = 0) -> Rng:
    return np.random.default_rng(seed)


def xz(content: bytes) -> bytes:
    return lzma.compress(content, preset=0)


def tar(files: Files) -> bytes:
    """A packed archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), 1, mtime=0)


def lay(folder: Path, files: Files) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def wav(rng: Rng, n: int, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, rate, n, "NONE", ""))
        file.writeframes(rng.integers(-9000, 9000, n).astype("<i2").tobytes())
    return out.getvalue()


def fsdd_arrays() -> Files:
    rng, n = drawn(), 20
    return {"fsdd/fsdd_8k_ulaw.npz.xz": xz(arrays.packed({
        "x": rng.integers(0, 256, (n, 8000)).astype(np.uint8), "length": rng.integers(1, 8001, n),
        "label": np.arange(n) % 10, "take": np.arange(n)}))}


def fsdd_clips() -> Files:
    rng = drawn()
    return {f"fsdd/recordings/{digit}_ann_{take}.wav": wav(rng, 300, 8000)
            for digit in range(3) for take in (0, 5, 10)}


def words_clips() -> Files:
    rng, files = drawn(), {}
    home, lists = "speech_commands/speech_commands_v0.02", {"test": "", "val": ""}
    for k, word in enumerate(TEN[:4]):
        for j, split in enumerate(("train", "val", "test")):
            name = f"{word}/{k}{j}_nohash_0.wav"
            files[f"{home}/{name}"] = wav(rng, 400, 16000)
            if split in lists:
                lists[split] += name + "\n"
    return files | {f"{home}/testing_list.txt": lists["test"].encode(),
                    f"{home}/validation_list.txt": lists["val"].encode()}


def words_arrays() -> Files:
    rng = drawn()
    return {"speech_commands/sc4_8k_ulaw.npz.xz": xz(arrays.packed(
        {"words": np.array(TEN[:4])} | {
            f"{x}_{split}": rng.integers(0, 256, (4, 8000)).astype(np.uint8) if x == "x"
            else np.arange(4) for x in "xy" for split in ("train", "val", "test")}))}


def reviews() -> list[tuple[int, int, bytes]]:
    return [(k % 2, k, f"review {k}\twith a tab, caf\u00e9 <br />".encode() * 9) for k in range(12)]


def text_table() -> Files:
    return {"imdb/imdb_test.tsv.xz": xz(b"".join(b"%d\t%d\t7\t%s\n" % row for row in reviews()))}


def text_archive() -> Files:
    return {"imdb/aclImdb_v1.tar.gz": tar({
        f"aclImdb/test/{('neg', 'pos')[label]}/{k}_7.txt": text for label, k, text in reviews()})}


def pairs() -> Files:
    return {"aan/new_aan_pairs.test.tsv": b"".join(
        b"%d.0\t%d\t%d\tb'paper %d'\tb'other paper'\n" % (k % 2, k, k + 1, k) for k in range(9))}


def pictures_packed() -> Files:
    rng = drawn()
    return {"cifar10/cifar10_gray.npz.xz": xz(arrays.packed({
        "train_x": rng.integers(0, 256, (4, 32, 32)).astype(np.uint8), "train_y": np.arange(4),
        "test_x": rng.integers(0, 256, (4, 32, 32)).astype(np.uint8), "test_y": np.arange(4),
        "test_exact": np.arange(4) < 2}))}


def pictures_archive() -> Files:
    batch = {b"data": drawn().integers(0, 256, (3, 3072)).astype(np.uint8), b"labels": [1, 2, 3]}
    return {"cifar10/cifar-10-python.tar.gz": tar({
        "cifar-10-batches-py/test_batch": pickle.dumps(batch, 2)})}


def contours() -> Files:
    from PIL import Image
    made, home = pictures(rules32(14), 1, 10), "pathfinder/pathfinder32/curv_contour_length_14"
    files, lines = {}, ""
    for k in range(10):
        out = io.BytesIO()
        Image.fromarray(made["grey"][k]).save(out, "png")
        files[f"{home}/imgs/1/sample_{k}.png"] = out.getvalue()
        lines += f"imgs/1 sample_{k}.png {k} {made['labels'][k]} 1.0 14 4 2 0.5 1 1\n"
    return files | {f"{home}/metadata/1.npy": lines.encode()}


def digits_idx() -> Files:
    rng, n = drawn(), 6
    idx = {"images-idx3": bytes([0, 0, 8, 3]) + b"".join(k.to_bytes(4, "big") for k in (n, 28, 28))
           + rng.bytes(784 * n), "labels-idx1": bytes([0, 0, 8, 1, 0, 0, 0, n]) + bytes(range(n))}
    return {f"mnist/t10k-{name}-ubyte.gz": gzip.compress(raw, 6, mtime=0)
            for name, raw in idx.items()}


def digits_source():
    """Where these digits come from, with their own checksums in place of MNIST's."""
    known = {Path(name).name: hashlib.md5(gzip.decompress(raw)).hexdigest()
             for name, raw in digits_idx().items()}
    return replace(psmnist.SOURCE, files=tuple(
        replace(file, checksum=f"md5:{known[file.name]}")
        for file in psmnist.SOURCE.files if file.name in known))


def digits_split(folder: Path) -> Split:
    source, task = digits_source(), make_task("smnist")
    values, labels = (psmnist.read(f"t10k-{name}-ubyte", folder, source)
                      for name in ("images-idx3", "labels-idx1"))
    return checked(Split(values, np.full(len(values), 784), labels.astype(np.int64)), task)


def split_of(name: str, folder: Path, data_dir: Path | None) -> Split:
    """The test split of a task as the commands take it."""
    task = make_task(name)
    with (mock.patch.dict(os.environ, {data.CACHE_ENV: str(folder / CACHE)}),
          mock.patch.dict(listops.SIZES, test=TREES)):      # made anew in every other case
        os.environ.pop(data.ENV, None)
        return checked(task.load("test", data_dir), task)


def harmed(rng: Rng, folder: Path) -> Harm:
    """Any harm to one of the files."""
    path = pick(rng, sorted(path for path in folder.rglob("*") if path.is_file()))
    return Harm(forms.of_file(rng, path), free=True)


def _files(task: str, what: str, files: Callable[[], Files]) -> Target:
    return Target(f"{task}, {what}", lambda folder: lay(folder, files()), harmed,
                  lambda folder: split_of(task, folder, folder))


def _cache(task: str, files: Callable[[], Files] | None = None) -> Target:
    """What a task keeps in the cache; the files it is made from stay whole."""
    def read(folder: Path) -> Split:
        return split_of(task, folder, folder if files else None)

    def make(folder: Path) -> None:
        lay(folder, files() if files else {})
        for path in folder.rglob("*"):
            os.utime(path, (1e9, 1e9))      # a name in the cache has it
        read(folder)

    def harm(rng: Rng, folder: Path) -> Harm:
        return harmed(rng, folder / CACHE)
    return Target(f"cache of {task}", make, harm, read)


def trees(folder: Path) -> None:
    listops_file.write(folder / "listops" / "basic_test.tsv", listops.generate("test", TREES))


def targets() -> list[Target]:
    idx = Target("psmnist, idx", lambda folder: lay(folder, digits_idx()), harmed, digits_split)
    return [Target("listops, tsv", trees, harmed, lambda folder: split_of(
                "listops", folder, folder)), idx, _files("image:part", "npz.xz", pictures_packed),
            _files("image:part", "tar.gz", pictures_archive),
            _files("text:part", "tsv.xz", text_table), _files("text:part", "tar.gz", text_archive),
            _files("retrieval:part", "tsv", pairs), _files("fsdd:part", "npz.xz", fsdd_arrays),
            _files("fsdd:part", "wav", fsdd_clips), _files("sc4:part", "npz.xz", words_arrays),
            _files("sc4:part", "wav", words_clips), _files("pathfinder:part", "png", contours),
            _cache("listops"), _cache("fsdd:part", fsdd_arrays), _cache("pathfinder:part")]
