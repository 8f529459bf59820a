"""Pathfinder and Path-X: the rules kept by every picture, blocks, cache, published form."""

import zlib
from functools import cache

import numpy as np
import pytest
import torch
from scipy import ndimage

from golden.tasks import data
from golden.tasks import TaskError, checked, make_task, pathfinder, spec
from golden.tasks.pathfinder_figure import middles, recovered
from golden.tasks.pathfinder_loops import (DISTRACTOR, FULL, MOST, ONE, SEEDS, fits, join, mark,
                                           stretch)
from golden.tasks.pathfinder_rules import (candidates, line, moved, pictures, reduction, rules32,
                                           rules128, tables)

MANY = ((rules32(14), 400), (rules32(6), 100), (rules128(14), 12), (rules128(6), 40))
by_size = pytest.mark.parametrize("rules, n", MANY, ids=lambda v: getattr(v, "size", None))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(data.CACHE_ENV, str(tmp_path / "cache"))
    monkeypatch.delenv(data.ENV, raising=False)


@cache
def made(rules, n, seed=1):
    return pictures(rules, seed, n)


# --- tables ---------------------------------------------------------------------------------------

def test_steps_are_rounded_up():
    right_angles = np.deg2rad([-180, -90, 0, 90])
    assert moved(right_angles, 5).tolist() == [[0, -5], [-5, 0], [0, 5], [5, 0]]
    assert moved(np.deg2rad([-135.0, 45.0]), 5).tolist() == [[-3, -3], [4, 4]]


def test_candidates_are_a_ring():
    for radius in (3, 7, 8):
        ring = candidates(radius)
        assert (np.abs(np.hypot(*(ring + 0.5).T) - radius) <= 2 ** 0.5 / 2 + 1e-9).all()
        assert 2 * np.pi * radius * 0.8 < len(ring) <= 2 * np.pi * radius + 1


def test_lines_and_their_reduction_are_pillows():
    from PIL import Image, ImageDraw
    lanczos = Image.Resampling.LANCZOS
    noise = np.random.default_rng(0).random((41, 41)).astype(np.float32)
    expected = np.asarray(Image.fromarray(noise).resize((21, 21), lanczos))
    assert np.abs(reduction(41, 21) @ noise @ reduction(41, 21).T - expected).max() < 1e-6
    for width, most in ((1, 1.0), (3, 2.0)):        # ties are broken otherwise now and then
        differ = []
        for degree in range(0, 360, 5):
            end = moved(np.deg2rad([degree]), 10)[0]
            picture = Image.new("1", (41, 41))
            ImageDraw.Draw(picture).line([(20, 20), (20 + end[1], 20 + end[0])], 1, width)
            differ.append(np.sum(np.asarray(picture) != line(end, width, 20)))
        assert np.mean(differ) < most and max(differ) <= 10


def test_a_marker_is_a_reduced_disk():
    from PIL import Image
    rules = rules128(14)
    y, x = np.ogrid[:256, :256]
    for v, u in ((64, 50), (1, 126), (0, 0)):
        picture = np.zeros((128, 128), np.int64)
        mark(tables(rules, 2), picture, v, u)
        fine = ((y - 2 * v) ** 2 + (x - 2 * u) ** 2 <= 36).astype(np.float32)
        expected = Image.fromarray(fine).resize((128, 128), Image.Resampling.LANCZOS)
        assert np.abs(picture / ONE - np.maximum(0, np.asarray(expected))).max() < 1e-4


def test_joining_and_fitting_at_an_edge():
    patch = np.arange(9, dtype=np.uint8).reshape(3, 3) * 25
    mask = np.zeros((4, 4), np.uint8)
    join(mask, patch, 0, 3)
    assert mask.tolist() == [[0, 0, 75, 100], [0, 0, 150, 175], [0] * 4, [0] * 4]
    join(mask, patch, 3, 0)
    assert mask[2:].tolist() == [[25, 50, 0, 0], [100, 125, 0, 0]]
    mask[:], patch[2, 2] = FULL, MOST - FULL - 1
    assert fits(mask, patch, 1, 1)
    patch[2, 2] += 1
    assert not fits(mask, patch, 1, 1) and fits(mask, patch, 3, 3)      # there it is cut off


def test_stretching_has_255_levels_rounded_down():
    picture = np.array([[0, 1, 2, 3]])
    stretch(picture, FULL)
    assert picture.tolist() == [[0, 85, 170, 255]]
    stretch(picture, 3)
    assert picture.tolist() == [[0, 1, 2, 3]]


# --- pictures -------------------------------------------------------------------------------------

def pivots(t, chain):
    """Pivot of each segment of a chain of (y, x, orientation), as its orientation says."""
    found = []
    for y, x, o in chain:
        back = t.head[o] + t.back[o] if o < SEEDS else -t.ring[o - SEEDS]
        found.append(np.array([y, x]) + back)
    return np.array(found)


def grown(rules, segments) -> bool:
    """Whether a chain is one contour by the rules: each pivot a step from the one before."""
    chain = segments[:, 1:]
    for t in (tables(rules, margin) for margin in rules.margins):
        if chain[0, 2] < SEEDS and (chain[1:, 2] >= SEEDS).all() and chain.max() < len(t.step):
            p = pivots(t, chain)
            if np.array_equal(p[1:], p[:-1] + t.step[chain[:-1, 2]]):
                return True
    return False


@by_size
def test_contours_and_distractors_are_grown(rules, n):
    m = made(rules, n)
    for segments, count in zip(m["segments"], m["counts"]):
        real = segments[:count]
        assert (real[:, 1:3] >= 0).all() and (real[:, 1:3] < rules.size).all()
        for kind in (0, 1):
            chain = real[real[:, 0] == kind]
            assert len(chain) == rules.contour and grown(rules, chain)
        assert not grown(rules, real[:2 * rules.contour])       # the two together are none
        others = real[real[:, 0] == DISTRACTOR].reshape(-1, rules.distractor, 4)
        assert len(others) <= rules.distractors and all(grown(rules, o) for o in others)
    assert m["counts"].mean() > 2 * rules.contour + 0.7 * rules.distractors * rules.distractor


@by_size
def test_the_label_says_whether_one_contour_joins_the_markers(rules, n):
    m = made(rules, n)
    seeds_apart, ambiguous = [], 0
    for segments, (first, last), label in zip(m["segments"], m["markers"], m["labels"]):
        chains = [segments[k:2 * rules.contour:2] for k in (0, 1)]
        starts = [c for c in chains if np.array_equal(c[0, 1:3], first)]
        ends = [c for c in chains if np.array_equal(c[-1, 1:3], last)]
        answers = {s is e for s in starts for e in ends}
        assert label in answers
        ambiguous += len(answers) - 1           # both contours may end in the same pixel
        seeds_apart.append(np.hypot(*(chains[0][0, 1:3] - chains[1][0, 1:3])))
        border = min(first.min(), (rules.size - 1 - first).min())
        assert border >= rules.seed_distance - 1        # of the first: 2 distances, 1 for the other
    assert ambiguous <= n // 50
    assert np.abs(np.array(seeds_apart) - rules.seed_distance).max() <= 0.75
    assert abs(m["labels"].mean() - 0.5) < 4 * 0.5 / n ** 0.5


@by_size
def test_grey_values(rules, n):
    m = made(rules, n)
    assert m["grey"].dtype == np.uint8
    assert (m["grey"].min((1, 2)) == 0).all() and (m["grey"].max((1, 2)) == 255).all()
    lit = (m["grey"] > 20).mean((1, 2))
    low, high = {(32, 14): (0.14, 0.26), (32, 6): (0.11, 0.2), (128, 14): (0.05, 0.11),
                 (128, 6): (0.04, 0.1)}[rules.size, rules.contour]
    assert (lit > low).all() and (lit < high).all()
    middle = np.array([[g[v, u] for v, u in p] for g, p in zip(m["grey"], m["markers"])])
    away = np.ones_like(m["grey"], bool)
    y, x = np.indices(m["grey"].shape[1:])
    for k, marks in enumerate(m["markers"]):
        for v, u in marks:
            away[k] &= np.hypot(y - v, x - u) > rules.marker + 1.5
    brightest = np.where(away, m["grey"], 0).max((1, 2))
    assert (brightest < 230).all()              # only a marker is brighter
    if rules.size == 128:
        assert (middle >= 223).all() and (middle <= 228).all() and (brightest > 210).all()


def test_two_markers_are_seen():
    m = made(*MANY[2])
    for grey, marks in zip(m["grey"], m["markers"]):
        seen = middles(grey)
        assert len(seen) == 2 and np.abs(np.sort(seen, 0) - np.sort(marks, 0)).max() <= 1


def test_the_masks_keep_segments_apart():
    m = made(*MANY[2])
    for k in range(len(m["grey"])):
        parts = ndimage.label(m["grey"][k] > 60)[1]
        assert parts > 0.8 * m["counts"][k]


def test_seeds():
    rules = rules32(14)
    again, other = pictures(rules, 1, 5), pictures(rules, 2, 5)
    for key in ("grey", "labels", "segments", "markers"):
        assert np.array_equal(again[key], made(*MANY[0])[key][:5])
    assert not np.array_equal(again["grey"], other["grey"])


def test_these_pictures_stay_what_they_are():
    """A change of the generator changes this: then raise pathfinder.VERSION."""
    digests = {(r.size, r.contour): zlib.crc32(pictures(r, 7, 3)["grey"].tobytes())
               for r in (rules32(14), rules32(9), rules32(6), rules128(9), rules128(6))}
    assert digests == {(32, 14): 1629481378, (32, 9): 2221662298, (32, 6): 3484421405,
                       (128, 9): 1581352238, (128, 6): 1971035481}
    assert pictures(rules32(14), 7, 1)["grey"][0, 10:12].tolist() == [
        [0, 0, 108, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 21,
         156, 3, 0, 172, 101, 55, 33, 0, 1, 0, 34, 206, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 91,
         73, 0, 148, 73, 0, 106, 166, 0, 3, 4, 0, 129, 85, 0, 2, 0]]


def test_pixels_are_recovered_from_an_enlarged_picture():
    grey = made(*MANY[2])["grey"][0]
    at = ((np.arange(378) + 0.5) * 128 / 378 - 0.5)[:, None] - np.arange(128)
    hann = np.where(np.abs(at) < 1, 0.5 + 0.5 * np.cos(np.pi * at), 0)
    hann /= hann.sum(1, keepdims=True)
    shown = np.rint(hann[1:] @ grey.astype(float) @ hann.T)
    assert np.abs(recovered(shown, 128).astype(int) - grey).max() <= 3


# --- the task -------------------------------------------------------------------------------------

@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(pathfinder, "SIZES", {"train": 20, "val": 8, "test": 12})
    monkeypatch.setattr(pathfinder, "BLOCK", 8)


@pytest.mark.parametrize("name, side", [("pathfinder", 32), ("pathfinder:9", 32), ("pathx:6", 128)])
def test_loads(small, name, side):
    task = make_task(name)
    assert spec(task) == name and task.length == side * side
    for split, n in pathfinder.SIZES.items():
        found = checked(task.load(split), task)
        assert found.values.shape == (n, side * side) and (found.lengths == side * side).all()
    assert make_task("pathfinder:14").name == "pathfinder"


@pytest.mark.parametrize("name", ["pathfinder:7", "pathx:", "pathx:bit_reversal"])
def test_unknown_variants(name):
    if name.endswith(":"):
        assert make_task(name).name == "pathx"
    else:
        with pytest.raises(TaskError, match="known: 6, 9, 14 segments"):
            make_task(name)


def test_blocks_do_not_depend_on_each_other(small, monkeypatch, tmp_path):
    whole = make_task("pathfinder:6").load("train")
    folder = tmp_path / "cache" / "pathfinder" / "v1-32-6"
    assert sorted(p.name for p in folder.iterdir()) == [f"train-00{k}.npz" for k in range(3)]
    kept = (folder / "train-000.npz").stat().st_mtime_ns
    (folder / "train-001.npz").unlink()                                     # interrupted
    (folder / "train-002.npz").write_bytes(b"hello")                        # damaged
    monkeypatch.setattr(pathfinder, "CORES", 1)
    again = make_task("pathfinder:6").load("train")
    assert np.array_equal(whole.values, again.values) and np.array_equal(whole.labels, again.labels)
    assert (folder / "train-000.npz").stat().st_mtime_ns == kept
    monkeypatch.setattr(pathfinder, "block", lambda *_: pytest.fail("generated again"))
    assert np.array_equal(make_task("pathfinder:6").load("train").values, whole.values)
    part = make_task("pathfinder:part")
    with pytest.raises(pytest.fail.Exception):
        part.load("train")                                                  # of 14 segments


def test_splits_differ(small):
    task = make_task("pathfinder:6")
    train, val, test = (task.load(split) for split in ("train", "val", "test"))
    assert len(np.unique(np.concatenate([train.values, val.values, test.values]), axis=0)) == 40


def test_augment_mirrors_pictures():
    task, n = make_task("pathfinder"), 200
    values = torch.from_numpy(made(*MANY[0])["grey"][:n].reshape(n, -1))
    mirrored = task.augment(values, torch.Generator().manual_seed(0))
    assert mirrored.dtype == values.dtype and mirrored.shape == values.shape
    square = values.view(n, 32, 32)
    forms = [square.flip(axes).reshape(n, -1) for axes in ((), (1,), (2,), (1, 2))]
    which = torch.stack([(mirrored == form).all(1) for form in forms])
    assert (which.sum(0) == 1).all() and (which.sum(1) > 30).all()
