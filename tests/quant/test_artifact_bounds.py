"""Artifacts that would take memory, time or the whole of the stack are refused before they do."""

import io
import json
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from quant.integer.artifact import ArtifactError, load, save
from quant.integer.synthetic import random_artifact
from tests.quant.test_artifact import edit

MEASURED = """
import sys
from quant.integer.artifact import ArtifactError, load
try:
    load(sys.argv[1])
except ArtifactError as error:
    print(error)
with open("/proc/self/status") as file:
    print(int(next(line for line in file if line.startswith("VmHWM")).split()[1]) >> 10)
"""


@pytest.fixture
def folder(tmp_path):
    return save(random_artifact(1), tmp_path / "a")


def bomb(path, name: str, count: int) -> None:
    """An array of so many zeros under a name, next to the others."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<i8", "fortran_order": False,
                                                "shape": (count,)})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file, \
            file.open(f"{name}.npy", "w", force_zip64=True) as member:
        member.write(head.getvalue())
        for left in range(8 * count, 0, -10_000_000):
            member.write(bytes(min(left, 10_000_000)))


def rewrite(folder, change) -> None:
    path = folder / "manifest.json"
    path.write_text(change(path.read_text()))


CASES = {
    "zeros": lambda folder: bomb(folder / "arrays.npz", "bomb", 40_000_000),
    "nesting": lambda folder: rewrite(folder, lambda text: "[" * 100_000 + "]" * 100_000),
    "nesting in info": lambda folder: rewrite(folder, lambda text: text.replace(
        '"info": {}', '"info": {"x": ' + "[" * 90_000 + "]" * 90_000 + "}")),
    "a long manifest": lambda folder: rewrite(folder, lambda text: text + " " * (1 << 25)),
    "many layers": lambda folder: edit(folder, lambda m: m.update(
        blocks=m["blocks"] + m["blocks"][:1] * 20_000), signed=True),
    "empty layers": lambda folder: edit(folder, lambda m: m.update(
        blocks=m["blocks"] + [[]] * 1_000_000), signed=True),
    "a wide generator": lambda folder: edit(folder, lambda m: m["random"].update(
        width=10 ** 7, taps=[10 ** 7]), signed=True),
    "a long number": lambda folder: rewrite(folder, lambda text: text.replace(
        '"length": 64', '"length": ' + "9" * 100_000)),
    "a wide format": lambda folder: edit(folder, lambda m: m["decoder"].update(
        b="SQ(8,999999999)"), signed=True)}


@pytest.mark.parametrize("name", CASES)
def test_little_memory_and_little_time(name, folder):
    CASES[name](folder)
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURED, folder], capture_output=True, text=True)
    says, megabytes = done.stdout.splitlines()
    assert str(folder) in says and int(megabytes) < 400 and not done.stderr, done
    assert time.perf_counter() - begin < 60


def test_a_shape_that_is_not_there(folder):
    """A few kilobytes whose header says 6 GB."""
    with np.load(folder / "arrays.npz") as stored:
        arrays = dict(stored)
    buffer = io.BytesIO()
    np.save(buffer, arrays["0.1.d"])
    content = buffer.getvalue().replace(b"(8,), }", b"(800000000,), }").replace(
        b" " * 8 + b"\n", b"\n", 1)
    with zipfile.ZipFile(folder / "arrays.npz", "w") as file:
        file.writestr("0.1.d.npy", content)
    with pytest.raises(ArtifactError, match="another size than its shape"):
        load(folder)


@pytest.mark.parametrize("name", ["manifest.json", "arrays.npz"])
def test_what_is_no_file(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(ArtifactError, match=f"{name} is not a file; export again"):
        load(folder)


def test_a_file_in_place_of_the_folder(folder):
    with pytest.raises(ArtifactError, match="cannot read .*manifest.json: Not a directory"):
        load(folder / "manifest.json")


def test_every_key_that_goes_is_missed(folder):
    """Whatever is taken out, also by somebody who signs it: never another network in silence."""
    whole, taken = json.loads((folder / "manifest.json").read_text()), []

    def places(value, path=()):
        for key in value if isinstance(value, dict) else range(len(value)) \
                if isinstance(value, list) else ():
            yield (*path, key)
            yield from places(value[key], (*path, key))
    for path in list(places(whole)):
        if path[0] == "sha256":
            continue

        def without(m, path=path):
            m.clear()
            m.update(json.loads(json.dumps(whole)))
            for key in path[:-1]:
                m = m[key]
            del m[path[-1]]
        edit(folder, without, signed=True)
        try:
            load(folder)
            taken.append(path)
        except ArtifactError as error:
            assert "\n" not in str(error)
    assert taken == [("blocks", 0, 8), ("blocks", 1, 8)], "an Add: residual none is a network too"
