"""One Pathfinder picture from tables of its rules (docs/pathfinder.md), compiled.

Two target contours grow side by side, one segment each in turn; if either gets stuck both start
again. Short distractors fill the rest, then two markers show the question: do they lie on the ends
of one contour? Numbers are integers: masks count to FULL, brightness and weights to ONE.
"""

from typing import NamedTuple

import numba as nb
import numpy as np

from golden.tasks.listops_rules import draw

ONE = 1 << 16                           # a brightness or weight of 1
FULL = 255                              # a mask of 1
SEEDS = 360                             # orientations of seeds
TARGET, OTHER, DISTRACTOR = range(3)    # what a segment belongs to: contour 0, 1, or none of them
FREE = 3 * FULL // 10                   # a cell with more mask than 0.3 is not free
MOST = 18 * FULL // 10                  # masks that together reach 1.8 overlap too much
LEAST = FULL * ONE // 10_000            # candidates of less weight together are none
FEW = 100                               # cells: distractors end when fewer than 1 in 100 is free

# Where a contour is: the pivot, the last segment's orientation and start (y, x).
PIVOT_Y, PIVOT_X, ORIENTATION, START_Y, START_X = range(5)


class Tables(NamedTuple):
    """What one margin needs; O orientations, C candidates, T strokes of P x P pixels, P odd.

    Coordinates are (y, x). A stroke is the picture of a segment, its start in the middle.
    """

    size: int
    contour: int
    distractor: int
    distractors: int
    padding: int
    retrials: np.ndarray    # (2,) of a segment, of a distractor
    stroke: np.ndarray      # (O,) number of the stroke of a segment that is drawn with it
    ink: np.ndarray         # (2, T, P, P) brightness of a target's and a distractor's, ONE is 1
    cover: np.ndarray       # (T, P, P) mask, FULL is 1
    room: np.ndarray        # (SEEDS, 4) where the first seed may start: top, left, rows, columns
    core: np.ndarray        # (SEEDS, n, 2) where the mask of a seed is full; repeats fill it up
    head: np.ndarray        # (SEEDS, 2) from the start of a seed to its other end
    back: np.ndarray        # (SEEDS, 2) from there to its pivot
    step: np.ndarray        # (O, 2) from a pivot to the next
    ring: np.ndarray        # (C, 2) from a pivot to the candidates
    weight: np.ndarray      # (O, C) of a candidate by how far it turns, ONE is straight on
    near: np.ndarray        # (n, 2) the disk of the margin
    around: np.ndarray      # (SEEDS, 2) distance from a circle's middle, at the seed distance
    disk: np.ndarray        # (2 r + 1,) half widths of the rows of a marker in fine pixels
    sums: np.ndarray        # (size, size * fine + 1) running sums of the reduction's weights


@nb.njit(cache=True, nogil=True)
def inside(size, y, x):
    """Whether a pixel lies in the window."""
    return 0 <= y < size and 0 <= x < size


@nb.njit(cache=True, nogil=True)
def highest(mask, cells, y, x):
    """Greatest mask in ``cells`` (n, 2) round (y, x); what lies outside the window is left out."""
    found = 0
    for k in range(len(cells)):
        i, j = y + cells[k, 0], x + cells[k, 1]
        if inside(len(mask), i, j) and mask[i, j] > found:
            found = mask[i, j]
    return found


@nb.njit(cache=True, nogil=True)
def join(onto, patch, y, x):
    """Join a patch into a picture or mask by the maximum, its middle at (y, x), cut at the edge."""
    size, half = onto.shape[0], patch.shape[0] // 2
    for i in range(max(0, y - half), min(size, y + half + 1)):
        for j in range(max(0, x - half), min(size, x + half + 1)):
            value = patch[i - y + half, j - x + half]
            if value > onto[i, j]:
                onto[i, j] = value


@nb.njit(cache=True, nogil=True)
def fits(mask, patch, y, x):
    """Whether a segment's mask and what is there stay under 1.8 together everywhere."""
    size, half = mask.shape[0], patch.shape[0] // 2
    for i in range(max(0, y - half), min(size, y + half + 1)):
        for j in range(max(0, x - half), min(size, x + half + 1)):
            if np.int64(mask[i, j]) + patch[i - y + half, j - x + half] >= MOST:
                return False
    return True


@nb.njit(cache=True, nogil=True)
def place(t, at, y, x, o):
    """Start a contour with a segment from (y, x) along ``o``; False if it leaves the window."""
    head_y, head_x = y + t.head[o, 0], x + t.head[o, 1]
    at[PIVOT_Y], at[PIVOT_X] = head_y + t.back[o, 0], head_x + t.back[o, 1]
    at[ORIENTATION], at[START_Y], at[START_X] = o, y, x
    return inside(t.size, head_y, head_x) and inside(t.size, at[PIVOT_Y], at[PIVOT_X])


@nb.njit(cache=True, nogil=True)
def seeds(state, t, at):
    """Place the first segments of both contours, at (2, 5); False if that fails."""
    for trial in range(t.retrials[0] + 1):
        o = draw(state, SEEDS)
        top, left, rows, columns = t.room[o]
        if rows <= 0 or columns <= 0:
            return False
        cell = draw(state, rows * columns)
        if place(t, at[0], top + cell // columns, left + cell % columns, o):
            for again in range(t.retrials[0] + 1):
                o, angle = draw(state, SEEDS), draw(state, SEEDS)
                y, x = at[0, START_Y] + t.around[angle, 0], at[0, START_X] + t.around[angle, 1]
                if place(t, at[1], y, x, o):
                    return True
            return False
    return False


@nb.njit(cache=True, nogil=True)
def grow(state, t, mask, at):
    """Add a segment to a contour and the segment before it to the mask; False if it is stuck."""
    ring, near, weight = t.ring, t.near, t.weight       # taken out of the tuple once: faster
    before = at[ORIENTATION]
    y, x = at[PIVOT_Y] + t.step[before, 0], at[PIVOT_X] + t.step[before, 1]
    weights = np.zeros(len(ring), np.int64)
    total = 0
    for c in range(len(ring)):
        v, u = y + ring[c, 0], x + ring[c, 1]
        if weight[before, c] and inside(len(mask), v, u):
            weights[c] = weight[before, c] * (FULL - highest(mask, near, v, u))
            total += weights[c]
    if total < LEAST:
        return False
    for trial in range(t.retrials[0] + 1):
        rest, c = draw(state, total), 0
        while rest >= weights[c]:
            rest -= weights[c]
            c += 1
        v, u = y + ring[c, 0], x + ring[c, 1]
        if fits(mask, t.cover[t.stroke[SEEDS + c]], v, u):
            join(mask, t.cover[t.stroke[before]], at[START_Y], at[START_X])
            at[PIVOT_Y], at[PIVOT_X], at[ORIENTATION] = y, x, SEEDS + c
            at[START_Y], at[START_X] = v, u
            return True
    return False


@nb.njit(cache=True, nogil=True)
def note(segments, row, kind, at):
    """Write a segment to the record: kind, start, orientation."""
    segments[row, 0], segments[row, 1] = kind, at[START_Y]
    segments[row, 2], segments[row, 3] = at[START_X], at[ORIENTATION]


@nb.njit(cache=True, nogil=True)
def contours(state, t, mask, segments):
    """Try once to lay both target contours into an empty mask; whether it worked."""
    mask[:] = FULL
    mask[t.padding:-t.padding, t.padding:-t.padding] = 0
    at = np.empty((2, 5), np.int64)
    if not seeds(state, t, at):
        return False
    for k in range(t.contour):
        for which in range(2):
            if k and not grow(state, t, mask, at[which]):
                return False
            note(segments, 2 * k + which, which, at[which])
    # As in the public generator the other contour's last segment stays out of the mask.
    join(mask, t.cover[t.stroke[at[1, ORIENTATION]]], at[1, START_Y], at[1, START_X])
    return True


@nb.njit(cache=True, nogil=True)
def free_cell(state, mask, core):
    """A cell, uniform among those where a seed with this core may start; -1 if there is none."""
    size = len(mask)
    cells = size * size
    for quick in range(64):             # finds one at once while many are free
        cell = draw(state, cells)
        if highest(mask, core, cell // size, cell % size) <= FREE:
            return cell
    found = np.empty(cells, np.int64)
    count = 0
    for cell in range(cells):
        if highest(mask, core, cell // size, cell % size) <= FREE:
            found[count] = cell
            count += 1
    return found[draw(state, count)] if count else -1


@nb.njit(cache=True, nogil=True)
def distractor(state, t, mask, segments, row):
    """Try once to lay a distractor, recorded from ``row`` on; whether it worked."""
    at = np.empty(5, np.int64)
    placed = False
    for trial in range(t.retrials[0] + 1):
        o = draw(state, SEEDS)
        cell = free_cell(state, mask, t.core[o])
        if cell < 0:
            return False
        if place(t, at, cell // t.size, cell % t.size, o):
            placed = True
            break
    for k in range(t.distractor):
        if not placed or (k and not grow(state, t, mask, at)):
            return False
        note(segments, row + k, DISTRACTOR, at)
    join(mask, t.cover[t.stroke[at[ORIENTATION]]], at[START_Y], at[START_X])
    return True


@nb.njit(cache=True, nogil=True)
def distractors(state, t, mask, segments, row):
    """Lay the distractors, each with its retrials; returns the record's length."""
    before = np.empty(mask.size, np.uint8)
    for number in range(t.distractors):
        for trial in range(t.retrials[1] + 1):
            cells = 0
            for k, value in enumerate(mask.flat):
                before[k] = value
                cells += value <= FREE
            if FEW * cells < mask.size:
                return row
            if distractor(state, t, mask, segments, row):
                row += t.distractor
                break
            for k in range(mask.size):
                mask.flat[k] = before[k]
    return row


@nb.njit(cache=True, nogil=True)
def stretch(picture, to):
    """Give a picture with minimum 0 the maximum ``to``, in 255 levels, rounded down."""
    top = np.int64(0)
    for value in picture.flat:
        top = max(top, value)
    for k in range(picture.size):
        picture.flat[k] = 255 * picture.flat[k] // top * to // 255


@nb.njit(cache=True, nogil=True)
def mark(t, picture, y, x):
    """Join a marker: a disk of fine pixels, reduced to pixels as a whole window would be."""
    sums, disk, size, radius = t.sums, t.disk, t.size, len(t.disk) // 2
    width = sums.shape[1] - 1           # of the window in fine pixels
    fine = width // size
    half = radius // fine + 4           # the kernel reaches three pixels further than the disk
    for i in range(max(0, y - half), min(size, y + half + 1)):
        for j in range(max(0, x - half), min(size, x + half + 1)):
            value = 0.0
            for k in range(len(disk)):
                row = fine * y + k - radius
                if 0 <= row < width:
                    first, last = fine * x - disk[k], fine * x + disk[k] + 1
                    value += ((sums[i, row + 1] - sums[i, row])
                              * (sums[j, min(width, last)] - sums[j, max(0, first)]))
            picture[i, j] = max(picture[i, j], np.int64(np.rint(value * ONE)))


@nb.njit(cache=True, nogil=True)
def one_picture(state, t, label, mask, grey, segments, markers):
    """Fill one picture and its record; returns (segments, tries at the two contours)."""
    tries = 1
    while not contours(state, t, mask, segments):
        tries += 1
    count = distractors(state, t, mask, segments, 2 * t.contour)
    picture = np.zeros((t.size, t.size), np.int64)
    for k in range(count):
        kind, y, x, o = segments[k]
        join(picture, t.ink[int(kind == DISTRACTOR), t.stroke[o]], y, x)
    stretch(picture, ONE)
    first = draw(state, 2)
    last = first if label else 1 - first
    for end, row in enumerate((first, 2 * (t.contour - 1) + last)):
        markers[end, 0], markers[end, 1] = segments[row, 1], segments[row, 2]
        mark(t, picture, markers[end, 0], markers[end, 1])
    stretch(picture, FULL)
    grey[:] = picture
    return count, tries
