"""Damaged data files and caches: one line or made again; never a traceback, never much memory."""

import gzip
import io
import lzma
import os
import struct
import tarfile
import tracemalloc
import zlib

import numpy as np
import pytest

from golden.base.cli import UserError
from golden.tasks import (data, listops, make_task, pathfinder, pathfinder_files, recordings,
                          sources, text)
from golden.tasks.data import DataError
from golden.tasks.sources import File, Unpacked, unpacked, verify

MUTATIONS, UNPACKED = 60, 1 << 20
SOUND = np.arange(60, dtype=np.int8).reshape(6, 10), np.full(6, 10), np.arange(6) % 3


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(data.CACHE_ENV, str(tmp_path / "cache"))
    monkeypatch.delenv(data.ENV, raising=False)
    for module in (sources, recordings):        # bombs of a size that a test has time for
        monkeypatch.setattr(module, "UNPACKED", UNPACKED)
    return tmp_path / "cache"


def mutated(content: bytes, number: int) -> bytes:
    """Bits changed, bytes put in or cut out, the end cut off."""
    rng = np.random.default_rng([7, number])
    found = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at, kind = int(rng.integers(len(found))), rng.integers(5)
        if kind <= 1:
            found[at] ^= 1 << rng.integers(8)
        elif kind == 2:
            found[at:at + 4] = rng.integers(0, 256, 4, np.uint8).tobytes()
        elif kind == 3:
            del found[at:at + int(rng.integers(1, 30))]
        else:
            found[at:] = b"" if rng.random() < 0.5 else found[at:][::-1]
        found = found or bytearray(b"x")
    return bytes(found)


LISTS = {"tokens": np.arange(1, 13, dtype=np.uint8), "lengths": np.full(3, 4, np.int16),
         "labels": np.arange(3, dtype=np.int8)}     # what ListOps keeps


def lists_fit(arrays: dict) -> bool:
    return listops.fits(arrays, 3)


def test_mutated_caches_of_arrays(cache, capsys):
    """Every one is taken whole or made again, and then that is said."""
    data.cached("x.npz", lambda: LISTS, lists_fit)
    path = cache / "x.npz"
    content = path.read_bytes()
    for number in range(MUTATIONS):
        path.write_bytes(mutated(content, number))
        capsys.readouterr()
        made = []
        found = data.cached("x.npz", lambda: made.append(1) or LISTS, lists_fit)
        assert all(np.array_equal(found[name], LISTS[name]) for name in LISTS), number
        said = capsys.readouterr().err
        assert said.count("it is made again\n") == len(made) and said.count("\n") == len(made)


@pytest.mark.parametrize("change", [
    {"tokens": np.full(12, 16, np.uint8)}, {"tokens": np.ones((12, 1), np.uint8)},
    {"labels": np.array([0, 1, 10], np.int8)}, {"labels": np.array(["a", "b", "c"])},
    {"lengths": np.array([12, 0, 0], np.int16)}, {"lengths": np.ones((3, 4), np.int16)},
    {"lengths": np.full(3, 4.0)}, {"more": np.zeros(1 << 20, np.bool)}], ids=str)
def test_caches_that_hold_something_else(cache, change, capsys):
    cache.mkdir()
    np.savez_compressed(cache / "x.npz", **LISTS | change)
    made = data.cached("x.npz", lambda: LISTS, lists_fit, 1 << 16)
    assert made is LISTS and "it is made again" in capsys.readouterr().err


def test_a_block_of_pictures_that_holds_something_else():
    rules = pathfinder.rules32(14)
    block = {"grey": np.zeros((pathfinder.BLOCK, 32, 32), np.uint8),
             "labels": np.zeros(pathfinder.BLOCK, np.uint8)}
    assert pathfinder.fits(block, rules)
    for change in ({"labels": block["labels"].astype(float)}, {"grey": block["grey"][:9]},
                   {"labels": block["labels"] + np.uint8(2)}):
        assert not pathfinder.fits(block | change, rules)


def test_mutated_caches_of_sound(cache, capsys):
    recordings.kept("s", lambda: SOUND, 3)
    path = cache / "s"
    content = path.read_bytes()
    for number in range(MUTATIONS):
        path.write_bytes(mutated(content, number))
        capsys.readouterr()
        made = []
        sound, lengths, labels = recordings.kept("s", lambda: made.append(1) or SOUND, 3)
        assert sound.shape == (6, 10) and sound.dtype.kind == "i" or not made
        assert 1 <= lengths.min() and lengths.max() <= sound.shape[1] and labels.max() < 3
        assert capsys.readouterr().err.count("it is made again\n") == len(made)
    with open(path, "wb") as file:      # a header that claims what the file cannot hold
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False,
                                                    "shape": (10 ** 15,)})
    recordings.kept("s", lambda: SOUND, 3)
    assert path.read_bytes() == content


def xz(content: bytes) -> bytes:
    return lzma.compress(content)


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def huge() -> bytes:
    """An npz of a few kB with an array of 6 GB: its header claims it, and zip as well."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False,
                                                  "shape": (6 << 30,)})
    raw = header.getvalue() + b"\0" * 4096
    deflate = zlib.compressobj(wbits=-15)
    packed, name, size = deflate.compress(raw) + deflate.flush(), b"a.npy", 0xFFFF0000
    fields = struct.pack("<HHHHLLL", 0, 8, 0, 0, zlib.crc32(raw), len(packed), size)
    local = b"PK\3\4" + b"\x14\0" + fields + struct.pack("<HH", len(name), 0) + name + packed
    entry = (b"PK\1\2" + b"\x14\0\x14\0" + fields
             + struct.pack("<HHHHHLL", len(name), 0, 0, 0, 0, 0, 0) + name)
    end = struct.pack("<HHHHLLH", 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + b"PK\5\6" + end


BAD_ARRAYS = {
    "a bomb": lambda: xz(b"\0" * (UNPACKED + 9)), "no xz": lambda: b"hello", "empty": lambda: b"",
    "cut": lambda: xz(npz(a=np.arange(99)))[:-20], "no npz": lambda: xz(b"hello"),
    "another": lambda: xz(npz(b=np.arange(3))), "6 GB": lambda: xz(huge()),
    "objects": lambda: xz(npz(a=np.array([{}], object))),
    "a dictionary of 4 GB": lambda: b"\xfd7zXZ\0\0\4\xe6\xd6\xb4F\2\0!\1\x28\0\0\0" + b"\0" * 40}


@pytest.mark.parametrize("content", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_packed_arrays(tmp_path, content):
    path = tmp_path / "x.npz.xz"
    path.write_bytes(content())
    tracemalloc.start()
    with pytest.raises(DataError) as error:
        recordings.arrays(path, "a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert peak < 3 * UNPACKED + (1 << 24)      # the dictionary of xz


def test_mutated_packed_arrays(tmp_path):
    path, good = tmp_path / "x.npz.xz", np.arange(50)
    content = xz(npz(a=good))
    for number in range(MUTATIONS):
        path.write_bytes(mutated(content, number))
        try:
            assert np.array_equal(*recordings.arrays(path, "a"), good)
        except DataError as error:
            assert str(path) in str(error) and "\n" not in str(error)


def tar(folder, members: dict[str, bytes], name: str) -> str:
    path = folder / name
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_mutated_archives(tmp_path):
    """Packed bytes, and the tar inside: each is read whole or refused."""
    members = {f"aclImdb/{half}/{kind}/{k}_1.txt": b"a review" for half in ("train", "test")
               for kind in ("neg", "pos") for k in range(3)}
    folder = tmp_path / "imdb"
    folder.mkdir()
    path = tar(folder, members, text.ARCHIVE)
    packed = path.read_bytes()
    inside = gzip.decompress(packed)
    task = make_task("text:part")
    for number in range(MUTATIONS):
        path.write_bytes(mutated(packed, number) if number % 2 else
                         gzip.compress(mutated(inside[:8192], number) + inside[8192:], 1))
        try:
            task.load("test", tmp_path)
        except UserError as error:
            assert "\n" not in str(error), number


def test_a_gzip_bomb_is_refused_on_the_way(tmp_path):
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(24):
            file.write(b"\0" * (1 << 18))
    with Unpacked(path) as stream, pytest.raises(DataError, match="far more than such a file"):
        while stream.read(1 << 20):
            pass
    with pytest.raises(DataError, match="bomb.gz holds far more than such a file does; fetch it"):
        verify(path, File("bomb.gz", ()))


def test_more_than_one_stream(tmp_path):
    path = tmp_path / "two.xz"
    path.write_bytes(xz(b"one ") + xz(b"two") + b"\0" * 8)
    assert unpacked(path) == b"one two"


@pytest.mark.parametrize("number", range(20))
def test_mutated_lists_and_pictures(tmp_path, number):
    Image = pytest.importorskip("PIL.Image")
    home = tmp_path / "home"
    (home / "metadata").mkdir(parents=True)
    (home / "imgs").mkdir()
    file = io.BytesIO()
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(file, "PNG")
    (home / "imgs" / "a.png").write_bytes(
        mutated(file.getvalue(), number) if number % 2 else file.getvalue())
    array = io.BytesIO()
    np.save(array, np.array([["imgs", "a.png", "0", "1"]]))
    (home / "metadata" / "1.npy").write_bytes(
        array.getvalue() if number % 2 else mutated(array.getvalue(), number))
    try:
        pathfinder_files.read(pathfinder_files.listed(home), 32)
    except UserError as error:
        assert "\n" not in str(error)


def test_a_picture_of_another_size_is_not_unpacked(tmp_path):
    """100 million pixels in a few kB: looked at, not decoded."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (struct.pack(">L", len(content)) + kind + content
                + struct.pack(">L", zlib.crc32(kind + content)))
    path = tmp_path / "big.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
        ">LLBBBBB", 8000, 8000, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b""))
    with pytest.raises(DataError, match="has 8000 x 8000 pixels, not 32 x 32"):
        pathfinder_files.picture(path, 32)


def test_a_file_without_line_ends(tmp_path):
    path = tmp_path / "basic_test.tsv"
    with open(path, "wb") as file:
        file.write(b"Source\tTarget\n")
        os.truncate(file.fileno(), 1 << 31)
    tracemalloc.start()
    with pytest.raises(DataError, match="line 2: expected a tree, a tab and a digit"):
        listops.listops_file.read(path, 10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 25


def test_a_folder_of_the_name_that_is_looked_for(tmp_path):
    (tmp_path / "aan").mkdir()
    with tarfile.open(tmp_path / "aan" / "lra_release.gz", "w:gz") as file:
        file.add(tmp_path / "aan", "a/new_aan_pairs.eval.tsv", recursive=False)
    with pytest.raises(DataError, match="has no new_aan_pairs.eval.tsv in it"):
        make_task("retrieval").load("val", tmp_path)
