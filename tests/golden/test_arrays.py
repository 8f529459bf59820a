"""Files of arrays: what numpy wrote comes back; anything else is one line, in little memory."""

import io
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from golden.base import arrays as arrays_module
from golden.base.arrays import ArraysError, read_npz

ARRAYS = {"a": np.arange(12).reshape(3, 4), "b": np.array(2.5), "none": np.zeros((0, 5), np.uint8),
          "text": np.array(["one", "two"]), "c": np.asfortranarray(np.eye(3, dtype=np.float32)),
          "layer.w": np.array([True, False])}


def packed(arrays=ARRAYS, save=np.savez_compressed) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def header(shape: str, descr: str = "'<i8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def of_version(number: int) -> bytes:
    """A zip that says it needs a reader of this version; zipfile knows up to 63, in tenths."""
    data = bytearray(packed())
    data[data.find(b"PK\x01\x02") + 6] = number
    return bytes(data)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_comes_back(save, tmp_path):
    content = packed(save=save)
    (tmp_path / "x.npz").write_bytes(content)
    for source in (content, tmp_path / "x.npz"):
        found = read_npz(source, 1 << 20)
        assert list(found) == list(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype and found[name].flags.writeable


BAD = {
    "no zip": (b"hello", "no npz file"),
    "a zip of the future": (of_version(250), "(zip file version 25.0)"),
    "empty": (b"", "no npz file"),
    "truncated": (packed()[:-40], "no npz file"),
    "no array": (zipped(a=b"text"), "no npz file"),
    "python objects": (zipped(a=header("(1,)", "'|O'") + b"\x80\x04."), "elements of type object"),
    "a record": (zipped(a=header("(1,)", "[('x', '<i8')]") + bytes(8)), "elements of type"),
    "a large shape": (zipped(a=header("(10**9,)".replace("10**9", "1000000000"))), "another size"),
    "a negative shape": (zipped(a=header("(-1, -8)") + bytes(64)), "another size"),
    "a shape of no bytes": (zipped(a=header("(1000000000,)", "'|S0'")), "elements of type"),
    "too long": (zipped(a=header("(2,)") + bytes(24)), "another size"),
    "too deep": (zipped(a=header("(" * 5000 + ")" * 5000)), "no npz file"),
    "no python": (zipped(a=header("(1, '")), "no npz file"),
    "a huge integer": (zipped(a=header("(" + "9" * 4000 + ", 0)")), ""),
    "too large": (zipped(a=header("(200000,)") + bytes(1600000)), "1 arrays of 1,600,"),
    "another version": (zipped(a=b"\x93NUMPY\x07\x00" + header("(1,)")[8:]), "version"),
    "a type of time": (packed({"a": np.array(["2020"], "M8[D]")}), "elements of type"),
}


@pytest.mark.parametrize("name", BAD)
def test_anything_else_is_one_line(name, tmp_path):
    content, says = BAD[name]
    (tmp_path / "x.npz").write_bytes(content)
    for source in (content, tmp_path / "x.npz"):
        with pytest.raises(ArraysError) as error:
            read_npz(source, 1 << 20, "the file")
        assert str(error.value).startswith("the file") and says in str(error.value)
        assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_two_of_one_name_are_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in ("a.npy", "a"):
            file.writestr(name, header("(1,)") + bytes(8))
    with pytest.raises(ArraysError, match="two arrays"):
        read_npz(buffer.getvalue(), 1 << 20, "it")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(ArraysError, match=str(path)):
            read_npz(path, 100)


def test_every_flipped_byte_is_refused_or_harmless():
    content = bytearray(packed())
    for at in range(len(content)):
        content[at] ^= 255
        try:
            found = read_npz(bytes(content), 1 << 20, "it")
        except ArraysError as error:
            assert "\n" not in str(error)
        else:
            for name in set(found) & set(ARRAYS):
                np.testing.assert_array_equal(found[name], ARRAYS[name])
        content[at] ^= 255


BOMB = """
import io, resource, sys, zipfile
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from golden.base import arrays as arrays_module
from golden.base.arrays import ArraysError, read_npz
try:
    read_npz(sys.argv[1], 1 << 28)
except ArraysError as error:
    print(error)
with open("/proc/self/status") as file:
    print(int(next(line for line in file if line.startswith("VmHWM")).split()[1]) >> 10)
"""


def test_six_gigabytes_in_a_small_file_take_no_memory(tmp_path):
    """Both kinds: a header that only says so, and zeros that deflate to a thousandth."""
    (tmp_path / "says.npz").write_bytes(zipped(a=header("(800000000,)")))
    with zipfile.ZipFile(tmp_path / "has.npz", "w", zipfile.ZIP_DEFLATED) as file, \
            file.open("a.npy", "w") as member:
        member.write(header("(36000000,)"))
        for _ in range(36):
            member.write(bytes(8_000_000))
    for name in ("says", "has"):
        path = tmp_path / f"{name}.npz"
        assert path.stat().st_size < 1 << 20
        done = subprocess.run([sys.executable, "-c", BOMB, path], capture_output=True, text=True)
        says, megabytes = done.stdout.splitlines()
        assert str(path) in says and int(megabytes) < 200, done


def test_a_directory_of_many_entries_is_refused_unread():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.npy", header("(1,)") + bytes(8))
    content = bytearray(buffer.getvalue())
    at = content.rfind(b"PK\x05\x06")
    struct.pack_into("<L", content, at + 12, 1 << 28)
    with pytest.raises(ArraysError, match="directory"):
        read_npz(bytes(content), 1 << 30, "it")


@pytest.mark.parametrize("entries, fits", [(1, True), (1 << 40, False)])
def test_files_of_over_two_gigabytes_have_a_longer_end(entries, fits, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)     # as if it were that large
    content = bytearray(packed({"a": np.arange(3)}))
    at = content.rfind(b"PK\x06\x06")
    assert at > 0
    if fits:
        assert read_npz(bytes(content), 1 << 20, "it")["a"].tolist() == [0, 1, 2]
    else:
        struct.pack_into("<Q", content, at + 40, entries)
        with pytest.raises(ArraysError, match="directory"):
            read_npz(bytes(content), 1 << 20, "it")


def test_the_directory_s_size_is_seen_whatever_else_the_end_of_the_zip_says(monkeypatch):
    """The end's own mark may stand in it once more, where the directory's place is."""
    monkeypatch.setattr(arrays_module, "DIRECTORY", 10)
    content = packed()
    for end in (content, content[:-6] + b"PK\x05\x06" + content[-2:]):
        with pytest.raises(ArraysError, match="has a directory that is too long"):
            read_npz(end, 1000, "it")
