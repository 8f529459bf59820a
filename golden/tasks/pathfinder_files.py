"""Pathfinder pictures in the published form, a folder as ``curv_contour_length_14`` of the release.

``metadata/<number>.npy`` are lists of text in spite of their name (or arrays of text, as the public
generator writes them): a line for each picture, its columns folder, file, number, label and what it
was generated with. The pictures are ``imgs/<number>/sample_<number>.png``.
"""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from golden.base.arrays import DAMAGE, read_npy
from golden.tasks.data import DataError
from golden.tasks.base import Split
from golden.tasks.sources import again, content, reading

LIST, PICTURE = 1 << 26, 1 << 20        # bytes of a file, at most
ARRAY = b"\x93NUMPY"        # the first bytes of a true .npy file


def listed(home: Path) -> list[tuple[Path, int]]:
    """(picture, label) of every picture of a folder, in the order of its lists."""
    lists = [path for path in (home / "metadata").glob("*.npy") if path.stem.isdecimal()]
    found = []
    for path in sorted(lists, key=lambda path: int(path.stem)):
        for k, columns in enumerate(rows(path)):
            if len(columns) < 4 or columns[3] not in ("0", "1"):
                raise DataError(f"{path}, picture {k + 1}: expected folder, file, number and label "
                                f"0 or 1, found {' '.join(columns)[:60]!r}; {again(path)}")
            found.append((home / columns[0] / columns[1], int(columns[3])))
    if not found:
        raise DataError(f"{home / 'metadata'} lists no picture; {again(home)}")
    return found


def rows(path: Path) -> list[list[str]]:
    """The columns of every picture of a list."""
    with reading(path):
        found = content(path, LIST)
        if found.startswith(ARRAY):
            texts = np.atleast_2d(read_npy(found, "it")).astype(str)
            if texts.ndim != 2:
                raise ValueError(f"an array of {texts.ndim} dimensions")
            return texts.tolist()
        return [line.split() for line in found.decode().splitlines() if line.strip()]


def read(pictures: list[tuple[Path, int]], side: int) -> Split:
    """The pictures as a split; empty files are left out, as the published loader does."""
    values = np.zeros((len(pictures), side * side), np.uint8)
    keep = np.ones(len(pictures), bool)

    def put(k: int) -> None:
        found = picture(pictures[k][0], side)
        keep[k] = found is not None
        if found is not None:
            values[k] = found

    with ThreadPoolExecutor() as pool:
        for _ in tqdm(pool.map(put, range(len(pictures))), total=len(pictures), leave=False,
                      disable=None, desc="reading pictures", unit="picture"):
            pass
    labels = np.array([label for _, label in pictures], np.int64)
    return Split(values, np.full(len(values), side * side), labels).take(keep)


def picture(path: Path, side: int) -> np.ndarray | None:
    """(side * side,) grey values of a PNG; None for an empty file."""
    from PIL import Image
    with reading(path):
        found = content(path, PICTURE)
    if not found:
        return None
    with reading(path, *DAMAGE, Image.DecompressionBombError), \
            Image.open(io.BytesIO(found), formats=["PNG"]) as image:
        if image.size != (side, side):
            raise DataError(f"{path} has {image.size[0]} x {image.size[1]} pixels, not {side} x "
                            f"{side}; {again(path)}")
        return np.asarray(image.convert("L")).reshape(-1)
