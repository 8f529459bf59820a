"""Pathfinder and Path-X from small folders in the form of the published release."""

import numpy as np
import pytest
from PIL import Image

from golden.tasks import data
from golden.tasks import checked, make_task, pathfinder
from golden.tasks.pathfinder_rules import pictures, rules32, rules128


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(data.CACHE_ENV, str(tmp_path / "cache"))
    monkeypatch.delenv(data.ENV, raising=False)


def published(folder, side: int, count: int = 40, array: bool = False):
    """A folder as in the release: two lists of half of the pictures each."""
    home = folder / "pathfinder" / f"pathfinder{side}" / "curv_contour_length_14"
    (home / "metadata").mkdir(parents=True)
    m = pictures(rules32(14) if side == 32 else rules128(6), 1, count)
    for number in (10, 9):              # in the order of their numbers, not of their names
        (home / "imgs" / str(number)).mkdir(parents=True)
        half = range(count // 2) if number == 9 else range(count // 2, count)
        lines = []
        for k, index in enumerate(half):
            Image.fromarray(m["grey"][index]).save(
                home / "imgs" / str(number) / f"sample_{k}.png")
            label = m["labels"][index]
            lines.append(f"imgs/{number} sample_{k}.png {k} {label} 1.0 14 4 2 0.5 1 1")
        path = home / "metadata" / f"{number}.npy"
        if array:
            with open(path, "wb") as file:
                np.save(file, np.array([text.split() for text in lines]))
        else:
            path.write_text("\n".join(lines) + "\n")
    return home, m


@pytest.mark.parametrize("side, array", [(32, False), (32, True), (128, False)])
def test_published_pictures(tmp_path, side, array):
    _, m = published(tmp_path, side, array=array)
    task = make_task("pathfinder:part" if side == 32 else "pathx:part")
    found = {split: checked(task.load(split, tmp_path), task) for split in pathfinder.SIZES}
    assert [len(f) for f in found.values()] == [32, 4, 4]
    labels = {g.tobytes(): label for g, label in zip(m["grey"], m["labels"])}
    seen = {row.tobytes(): label for f in found.values() for row, label in zip(f.values, f.labels)}
    assert seen == labels


def test_an_empty_picture_is_left_out(tmp_path):
    home, _ = published(tmp_path, 32)
    (home / "imgs" / "9" / "sample_3.png").write_bytes(b"")
    task = make_task("pathfinder:part")
    assert sum(len(task.load(split, tmp_path)) for split in pathfinder.SIZES) == 39


@pytest.mark.parametrize("damage, text", [
    ("few", "holds 40 pictures, not 200,000"), ("gone", "sample_3.png cannot be read"),
    ("text", "sample_3.png is damaged"), ("cut", "sample_3.png is damaged"),
    ("large", "has 16 x 33 pixels, not 32 x 32"), ("columns", "9.npy, picture 2: expected folder"),
    ("bytes", "9.npy is damaged"), ("array", "9.npy is damaged"), ("no list", "lists no picture")])
def test_wrong_published_files(tmp_path, damage, text):
    home, _ = published(tmp_path, 32)
    png, lines = home / "imgs" / "9" / "sample_3.png", home / "metadata" / "9.npy"
    if damage == "gone":
        png.unlink()
    elif damage in ("text", "cut"):
        png.write_bytes(b"hello" if damage == "text" else png.read_bytes()[:-30])
    elif damage == "large":
        Image.new("L", (16, 33)).save(png)
    elif damage == "columns":
        lines.write_text("imgs/9 sample_0.png 0 1\nimgs/9 sample_1.png 1 2\n")
    elif damage in ("bytes", "array"):
        lines.write_bytes(b"\xff\xfe\x80" if damage == "bytes" else b"\x93NUMPY\x01")
    elif damage == "no list":
        for path in (home / "metadata").iterdir():
            path.unlink()
    task = make_task("pathfinder" if damage == "few" else "pathfinder:part")
    with pytest.raises(data.DataError) as error:
        for split in pathfinder.SIZES:
            task.load(split, tmp_path)
    assert text in str(error.value) and "\n" not in str(error.value)
