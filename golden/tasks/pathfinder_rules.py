"""Pathfinder by its published rules (docs/pathfinder.md): parameters, tables, pictures.

An orientation has a number: 0 .. 359 are the whole degrees -180 .. 179 of a seed, 360 + c is the
angle from a pivot to candidate c of the ring round it. Everything that depends on an orientation is
computed here, once, with NumPy; ``golden.tasks.pathfinder_loops`` then works with integers, so a
seed gives the same pictures on every machine.
"""

from functools import cache
from math import ceil
from typing import NamedTuple

import numpy as np

from golden.tasks.listops_rules import draw
from golden.tasks.pathfinder_loops import FULL, ONE, SEEDS, Tables, one_picture


class Rules(NamedTuple):
    """Parameters of the published generator; lengths in pixels."""

    size: int                       # of the square window
    contour: int                    # segments of each of the two target contours
    distractor: int                 # segments of a distractor
    distractors: int
    margins: tuple[int, ...]        # free distance round a segment, one is drawn for each image
    length: int                     # of a segment ("paddle")
    thickness: float
    marker: float                   # radius of a marker
    seed_distance: int              # between the first tips of the two contours
    continuity: float               # larger: straighter contours
    target_contrast: float          # brightness of target segments, a marker has 1
    distractor_contrast: float
    padding: int = 1                # border in which no segment may lie
    fine: int = 2                   # fine pixels in a pixel, each way ("antialias scale")
    segment_retrials: int = 2
    distractor_retrials: int = 4


def rules32(contour: int) -> Rules:
    """Of the 32 x 32 pictures (Pathfinder)."""
    part = contour // 3
    return Rules(32, contour, part, 20 // part, (1,), 2, 0.5, 1.5, 7, 1.0, 0.75 * 2, 2.0)


def rules128(contour: int) -> Rules:
    """Of the 128 x 128 pictures (Path-X)."""
    part = contour // 3
    return Rules(128, contour, part, 70 // part, (2, 3), 5, 1.5, 3.0, 20, 1.8, 0.9, 0.9)


@cache
def tables(rules: Rules, margin: int) -> Tables:
    """The tables of ``rules`` for one of its margins."""
    reach = rules.length + margin
    degrees = np.deg2rad(np.arange(SEEDS) - 180)
    ring = candidates(reach)
    angles = np.concatenate([degrees, np.arctan2(ring[:, 0], ring[:, 1])])
    turn = np.abs(angles[:, None] - angles[None, SEEDS:])
    turn = np.minimum(rules.continuity * np.minimum(turn, 2 * np.pi - turn), np.pi / 2)
    # A seed is drawn from its tail on, a grown segment from its head back.
    ends = moved(np.concatenate([degrees, angles[SEEDS:] + np.pi]), rules.length * rules.fine)
    strokes, stroke = np.unique(ends, axis=0, return_inverse=True)
    drawn = [segment(end, rules, margin) for end in strokes]
    ink, cover = np.array([d[0] for d in drawn]), np.array([d[1] for d in drawn])
    contrasts = np.array([rules.target_contrast, rules.distractor_contrast])[:, None, None, None]
    # The public generator paints the segment one pixel off the middle of a square it dilates with.
    full = [np.argwhere(cover[s] == FULL) - cover.shape[1] // 2 + 1 for s in stroke.ravel()[:SEEDS]]
    full = [cells[(np.abs(cells) <= reach).all(1)] for cells in full]
    longest = max(map(len, full))
    lows, highs = (np.array([f(cells, axis=0) for cells in full]) for f in (np.min, np.max))
    inner = rules.size - 4 * rules.seed_distance        # within a border of twice that distance
    radius = int(rules.marker * rules.fine)
    rows = np.arange(-radius, radius + 1)
    around = np.round(rules.seed_distance * directions(degrees)).astype(np.int64)
    weights = reduction(rules.size * rules.fine, rules.size)
    return Tables(
        rules.size, rules.contour, rules.distractor, rules.distractors, rules.padding,
        np.array([rules.segment_retrials, rules.distractor_retrials]),
        stroke.ravel(), np.rint(contrasts * ink * ONE).astype(np.int32), cover,
        np.concatenate([2 * rules.seed_distance - lows, inner - highs + lows], 1),
        np.array([np.resize(cells, (longest, 2)) for cells in full]),
        moved(degrees, rules.length), moved(degrees + np.pi, reach),
        moved(angles, rules.length + 2 * margin), ring,
        np.rint(np.cos(turn) ** 2 * ONE).astype(np.int64),
        np.argwhere(disk(margin)) - margin, around,
        np.floor(np.sqrt((rules.marker * rules.fine) ** 2 - rows ** 2)).astype(np.int64),
        np.concatenate([np.zeros((rules.size, 1)), weights.cumsum(1)], 1))


def pictures(rules: Rules, seed: int, n: int) -> dict:
    """``n`` pictures and their record from one seed.

    grey (n, size, size) uint8; labels (n,) 1 if the markers lie on one contour; segments (n, most,
    4): contour, start (y, x), orientation, of which the first counts (n,) are real, the contours'
    in turn; markers (n, 2, 2): their middles (y, x); tries (n,): at the two target contours.
    """
    most = 2 * rules.contour + rules.distractors * rules.distractor
    made = {"grey": np.zeros((n, rules.size, rules.size), np.uint8),
            "labels": np.zeros(n, np.int64),
            "segments": np.zeros((n, most, 4), np.int64), "counts": np.zeros(n, np.int64),
            "markers": np.zeros((n, 2, 2), np.int64), "tries": np.zeros(n, np.int64)}
    by_margin = [tables(rules, margin) for margin in rules.margins]
    state, mask = np.array([seed], np.uint64), np.zeros((rules.size, rules.size), np.uint8)
    for k in range(n):
        made["labels"][k] = draw(state, 2)
        made["counts"][k], made["tries"][k] = one_picture(
            state, by_margin[draw(state, len(by_margin))], made["labels"][k], mask,
            made["grey"][k], made["segments"][k], made["markers"][k])
    return made


def directions(angles: np.ndarray) -> np.ndarray:
    """(n, 2) unit vectors (y, x); rounded, so that the sine of pi is 0."""
    return np.round(np.stack([np.sin(angles), np.cos(angles)], 1), 12)


def moved(angles: np.ndarray, distance: float) -> np.ndarray:
    """(n, 2) whole steps over a distance along angles: rounded up, as the rules say."""
    return np.ceil(np.round(distance * directions(angles), 9)).astype(np.int64)


def candidates(radius: int) -> np.ndarray:
    """(C, 2) pixels of a ring, an arc of one pixel from one to the next; each once."""
    angles = np.arange(0, 2 * np.pi, 1 / radius)
    return np.unique(np.floor(radius * directions(angles)).astype(np.int64), axis=0)


def disk(radius: int) -> np.ndarray:
    """(2 r + 1, 2 r + 1) bool, the whole pixels of a disk."""
    y, x = np.ogrid[-radius:radius + 1, -radius:radius + 1]
    return y ** 2 + x ** 2 <= radius ** 2


def segment(end, rules: Rules, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture (float, 1 is full) and mask (uint8) of the segment to ``end`` in fine pixels."""
    from scipy.ndimage import binary_dilation       # slow to import
    half = rules.length + ceil(rules.thickness) + margin
    middle = half * rules.fine
    fine = line(end, round(rules.thickness * rules.fine), middle)
    wide = binary_dilation(fine, disk(margin * rules.fine))
    weights = reduction(2 * middle + 1, 2 * half + 1)
    picture, mask = (weights @ square @ weights.T for square in (fine, wide))
    return picture, np.rint(np.clip(mask, 0, 1) * FULL).astype(np.uint8)


def line(end, width: int, middle: int) -> np.ndarray:
    """(2 m + 1, 2 m + 1) bool, a line of ``width`` fine pixels from the middle to ``end``.

    Width 1 is Bresenham's line; a wider one is a rectangle whose corners are rounded to whole
    pixels, filled row by row: as Pillow draws them, with which the published pictures were made.
    """
    end = np.asarray(end, float)
    square = np.zeros((2 * middle + 1, 2 * middle + 1), bool)
    if width == 1:
        steps = np.linspace(0, end, int(np.abs(end).max()) + 1)
        square[tuple((middle + np.floor(steps + 0.5).astype(int)).T)] = True
        return square
    aside = np.array([end[1], -end[0]]) / np.hypot(*end) * (width - 1) / 2
    aside = np.sign(aside) * np.floor(np.abs(aside) + 0.5)
    corners = [aside, end + aside, end - aside, -aside]
    for row in range(-middle, middle + 1):
        xs = []
        for (y0, x0), (y1, x1) in zip(corners, corners[1:] + corners[:1]):
            if min(y0, y1) <= row <= max(y0, y1):
                xs += [x0, x1] if y0 == y1 else [x0 + (x1 - x0) * (row - y0) / (y1 - y0)]
        if xs:
            first, last = (int(np.ceil(x - 0.5)) + middle for x in (min(xs), max(xs)))
            square[row + middle, first:last + 1] = True
    return square


def reduction(n: int, to: int) -> np.ndarray:
    """(to, n) weights that reduce ``n`` fine pixels to ``to`` by Lanczos' kernel of 3 lobes."""
    scale = n / to
    middles = (np.arange(to) + 0.5) * scale
    at = (np.arange(n) + 0.5 - middles[:, None]) / scale
    weights = np.where(np.abs(at) < 3, np.sinc(at) * np.sinc(at / 3), 0)
    return weights / weights.sum(1, keepdims=True)
