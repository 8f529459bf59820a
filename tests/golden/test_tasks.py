"""Tasks by name: digits, psmnist's permutations, a user's own, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from golden.tasks import SPLITS, TASKS, Split, TaskError, checked, make_task, slug, spec
from golden.tasks.base import bit_reversal, permuted
from quant.formats import UQ

DOCS = Path(__file__).resolve().parents[2] / "docs" / "own-task.md"


def test_digits():
    from sklearn.datasets import load_digits
    images, labels = load_digits(return_X_y=True)
    task = make_task("digits")
    assert task.sample_format == UQ(1, 4) and (task.length, task.vocab) == (64, 0)
    order = np.random.default_rng(0).permutation(64)
    known = {image[order].astype(np.uint8).tobytes(): label for image, label in zip(images, labels)}
    seen = []
    for name, share in zip(SPLITS, (0.7, 0.1, 0.2)):
        split = checked(task.load(name), task)
        assert split.values.dtype == np.uint8 and split.values.max() == 16
        assert all(known[v.tobytes()] == y for v, y in zip(split.values, split.labels))
        assert abs(len(split) / len(images) - share) < 0.005
        counts = np.bincount(split.labels) / np.bincount(labels)
        assert (abs(counts - share) < 0.01).all()
        assert np.array_equal(split.values, task.load(name).values)
        seen += [v.tobytes() for v in split.values]
    assert sorted(seen) == sorted(image[order].astype(np.uint8).tobytes() for image in images)


def test_bit_reversal():
    assert bit_reversal(8).tolist() == [0, 4, 2, 6, 1, 5, 3, 7]
    assert bit_reversal(6).tolist() == [0, 4, 2, 1, 5, 3]
    order = bit_reversal(784)
    assert sorted(order) == list(range(784))
    reversed_ = [int(f"{k:010b}"[::-1], 2) for k in order]
    assert reversed_ == sorted(reversed_)
    assert make_task("psmnist").order.tolist() == order.tolist()


def test_permutations_by_name():
    assert permuted("identity", 5).tolist() == [0, 1, 2, 3, 4]
    a, b = make_task("psmnist:seed1"), make_task("psmnist:seed2")
    assert sorted(a.order) == list(range(784)) and a.order.tolist() != b.order.tolist()
    assert a.order.tolist() == np.random.default_rng(1).permutation(784).tolist()
    assert a.permutation == "seed1" and make_task("psmnist").permutation == "bit_reversal"


@pytest.mark.parametrize("name", ["digits", "psmnist", "listops", "psmnist:seed1",
                                  "digits:identity"])
def test_spec_makes_the_task_again(name):
    task = make_task(name)
    assert spec(task) == task.name == name and spec(make_task(spec(task))) == name
    assert slug(name) == name.replace(":", "-")


GOOD = {"name": "'mine'", "n_classes": "2", "length": "4", "vocab": "3", "sample_format": "None"}


def write_task(folder, monkeypatch, module: str, **changed) -> str:
    """A module with a task class; a member that is None is left out."""
    members = {k: v for k, v in (GOOD | changed).items() if v is not None}
    lines = [f"    {k} = {v}" for k, v in members.items() if k != "load"]
    if "load" not in changed:
        lines.append("    def load(self, split, data_dir=None): pass")
    (folder / f"{module}.py").write_text("from quant.formats import UQ\nclass T:\n"
                                         + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(folder))
    return f"{module}:T"


def test_own_task(tmp_path, monkeypatch):
    task = make_task(write_task(tmp_path, monkeypatch, "own_good"))
    assert task.name == "mine" and spec(task) == "own_good:T"


@pytest.mark.parametrize("changed, message", [
    ({"vocab": None}, "lacks vocab"), ({"load": None}, "lacks load"),
    ({"n_classes": "1"}, "n_classes must be an integer of at least 2"),
    ({"length": "'x'"}, "length must be"), ({"name": "''"}, "name must be"),
    ({"sample_format": "UQ(0, 8)"}, "either vocab is positive"),
    ({"vocab": "0"}, "either vocab is positive"), ({"length": "1 / 0"}, "ZeroDivisionError")])
def test_own_task_refused(tmp_path, monkeypatch, changed, message):
    name = write_task(tmp_path, monkeypatch, f"own_bad{abs(hash(message))}", **changed)
    with pytest.raises(TaskError, match=re.escape(message)) as error:
        make_task(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name, message", [
    ("mnist", f"known: {', '.join(TASKS)}, or your own as package.module:Class"),
    ("no_such_module:Task", "no module no_such_module"), ("json:nothing", "has no class 'nothing'"),
    ("json:dumps", "has no class 'dumps'"), ("psmnist:rows", "permutation 'rows' is unknown"),
    ("listops:seed1", "no variants"), ("psmnist:seed-1", "unknown"), ("", "known: psmnist"),
    ("smnist:seed1", "smnist has no variants"), ("text:whole", "known: part, for files")])
def test_unknown_task(name, message):
    with pytest.raises(TaskError, match=re.escape(message)) as error:
        make_task(name)
    assert "\n" not in str(error.value)


def test_unknown_split():
    with pytest.raises(TaskError, match="known: train, val, test"):
        make_task("digits").load("valid")


@pytest.mark.parametrize("values, lengths, labels, message", [
    (np.zeros((2, 64)), [64, 64], [0, 1], "values must be an array of integers"),
    (np.full((2, 64), 32), [64, 64], [0, 1], "values from 32 to 32, allowed are 0 to 31"),
    (np.full((2, 64), 3), [64, 65], [0, 1], "lengths from 64 to 65"),
    (np.full((2, 64), 3), [0, 64], [0, 1], "lengths from 0 to 64"),
    (np.full((2, 64), 3), [64, 64], [0, 10], "labels from 0 to 10"),
    (np.full((3, 64), 3), [64, 64], [0, 1], "shape (3, 64) beside 2 labels"),
    (np.full((2, 65), 3), [64, 64], [0, 1], "its length is 64")])
def test_a_wrong_split_is_refused(values, lengths, labels, message):
    with pytest.raises(TaskError, match=re.escape(message)):
        checked(Split(values, np.array(lengths), np.array(labels)), make_task("digits"))


def test_the_example_of_the_docs(tmp_path, monkeypatch):
    code, = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "docs_example.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    task = make_task("docs_example:Louder")
    for name in SPLITS:
        split = checked(task.load(name), task)
        louder = split.values[:, 20:].sum(1) > split.values[:, :20].sum(1)
        assert np.array_equal(louder, split.labels == 1)


def test_augmentation_changes_the_picture_whatever_the_order_of_its_pixels():
    task, straight = make_task("psmnist:seed1"), make_task("psmnist:identity")
    picture = torch.zeros(40, 28, 28, dtype=torch.uint8)
    picture[:, 8:20, 10:18] = 255
    flat = picture.view(40, -1)
    moved = straight.augment(flat, torch.Generator().manual_seed(1))
    permuted = task.augment(flat[:, task.order], torch.Generator().manual_seed(1))
    assert torch.equal(moved[:, task.order], permuted)
    assert moved.dtype == torch.uint8 and len(moved.unique(dim=0)) == 40
    weight = moved.view(40, 28, 28).double() / moved.sum(1).view(40, 1, 1)
    for axis, start in ((1, 13.5), (2, 13.5)):
        centre = (weight.sum(3 - axis) * torch.arange(28)).sum(1)
        assert (centre - start).abs().max() < 2.5 and centre.std() > 0.3
    area = moved.sum(1) / flat.sum(1)
    assert 0.75 < area.min() and area.max() < 1.3
    grey = ((moved > 20) & (moved < 235)).sum(1).double().mean()
    assert grey < 27        # an edge stays sharp: 31.6 without the contrast, 27.9 bilinear with it
