"""Tasks by name: digits, psmnist's permutations, a user's own, and what is refused."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from golden.evaluate import evaluate, show
from golden.model.config import PaperConfig
from golden.tasks import (SPLITS, TASKS, Split, TaskError, checked, inputs_of, make_task, slug,
                          spec, subsets_of)
from golden.tasks.base import bit_reversal, permuted
from golden.base.qformat import UQ

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


@pytest.mark.parametrize("name", [*TASKS, "psmnist:seed1", "digits:identity", "text:part",
                                  "retrieval:part", "image:part"])
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
    (folder / f"{module}.py").write_text("from quant.formats import SQ, UQ\nclass T:\n"
                                         + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(folder))
    return f"{module}:T"


@pytest.mark.parametrize("changed", [{}, {"inputs": "2"}, {"vocab": "0",
                                                           "sample_format": "SQ(1, 7)"}])
def test_own_task(tmp_path, monkeypatch, changed):
    name = write_task(tmp_path, monkeypatch, f"own_good{len(changed)}", **changed)
    task = make_task(name)
    assert task.name == "mine" and spec(task) == name
    assert inputs_of(task) == int(changed.get("inputs", 1))


@pytest.mark.parametrize("changed, message", [
    ({"vocab": None}, "lacks vocab"), ({"load": None}, "lacks load"),
    ({"n_classes": "1"}, "n_classes must be an integer of at least 2"),
    ({"length": "'x'"}, "length must be"), ({"name": "''"}, "name must be"),
    ({"sample_format": "UQ(0, 8)"}, "either vocab is positive"),
    ({"inputs": "3"}, "inputs must be 1 or 2, not 3"),
    ({"vocab": "0", "sample_format": "SQ(2, 6)"}, "SQ(1, f), not SQ(2,6)"),
    ({"vocab": "0"}, "either vocab is positive"), ({"length": "1 / 0"}, "ZeroDivisionError")])
def test_own_task_refused(tmp_path, monkeypatch, changed, message):
    name = write_task(tmp_path, monkeypatch, f"own_bad{abs(hash(message))}", **changed)
    with pytest.raises(TaskError, match=re.escape(message)) as error:
        make_task(name)
    assert "\n" not in str(error.value)


def test_sequential_mnist_is_row_by_row():
    task = make_task("smnist")
    assert task.order.tolist() == list(range(784)) and task.permutation == "identity"
    assert task.name == "smnist" and make_task("psmnist:identity").name == "psmnist:identity"


def test_tasks_are_imported_when_they_are_needed():
    code = ("import sys, golden.tasks\nassert 'torch' not in sys.modules\n"
            "assert not [m for m in sys.modules if m.startswith('golden.tasks.l')]\n"
            "for name in golden.tasks.TASKS: golden.tasks.make_task(name)\n"
            "assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], cwd=DOCS.parents[1], check=True, timeout=120)


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
    (np.full((2, 64), 32), [64, 64], [0, 1], "values from 32 to 32, they must be from 0 to 31"),
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


class Halves:
    """Fixed values; the label is right for a network that says 1 where the first value is 1."""

    name, n_classes, length, vocab, sample_format = "halves", 2, 3, 3, None

    def __init__(self, part=None):
        self.part = np.arange(12) % 4 == 1 if part is None else part

    def load(self, split, data_dir=None):
        values = np.zeros((12, 3), np.int64)
        values[:, 0] = np.arange(12) % 2
        return Split(values, np.arange(12) % 3 + 1, np.where(self.part, values[:, 0], 0))

    def subsets(self, split, data_dir=None):
        return {"some": self.part} if split == "test" else {}


class SaysFirst(torch.nn.Module):
    blocks, cfg = (), PaperConfig(n_classes=2)

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, values, lengths, dtype=None, record=None):
        return torch.nn.functional.one_hot(values[:, 0], 2)


def test_evaluation_of_parts():
    task = Halves()
    split = task.load("test")
    parts = subsets_of(task, "test", 12)
    got = evaluate(SaysFirst(), task, split, seeds=2, batch=5, subsets=parts)
    assert got["subsets"]["some"] == {"accuracy_mean": 1, "accuracy_std": 0, "accuracies": [1, 1],
                                      "n": 3}
    assert got["accuracies"] == [0.75, 0.75] and got["accuracy_mean"] == 0.75
    shown = show(got | {"task": "t", "split": "test", "spike_rates": [{"s_out": 0.5}]})
    assert "  some  100.00 % +- 0.00 on 3 sequences" in shown
    plain = evaluate(SaysFirst(), task, split)
    assert "subsets" not in plain and plain["accuracies"] == [0.75]


def test_parts_of_the_first_sequences():
    assert subsets_of(Halves(), "test", 6)["some"].tolist() == [0, 1, 0, 0, 0, 1]
    assert subsets_of(Halves(), "test", 1) == subsets_of(Halves(), "val", 6) == {}
    assert subsets_of(make_task("digits"), "test", 6) == {}


@pytest.mark.parametrize("part", [np.ones(11, bool), np.ones(12), [True] * 12,
                                  np.ones((12, 1), bool)])
def test_wrong_parts_are_refused(part):
    task = Halves()
    task.part = part
    with pytest.raises(TaskError, match="subset 'some' must be an array of bool"):
        subsets_of(task, "test", 12)


def test_single_sequences_of_a_split():
    values = np.arange(24).reshape(3, 2, 4)
    pairs = Split(values, np.array([[1, 2], [3, 4], [4, 1]]), np.array([0, 1, 1]))
    single = pairs.sequences()
    assert np.array_equal(single.values, values.reshape(6, 4)) and pairs.inputs == 2
    assert single.lengths.tolist() == [1, 2, 3, 4, 4, 1]
    assert single.labels.tolist() == [0, 0, 1, 1, 1, 1] and len(pairs) == 3
    assert single.sequences() is single and single.inputs == 1
    assert np.array_equal(pairs.take([2]).values, values[2:])


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


def test_mirrored_and_shifted_pictures():
    task = make_task("image")
    y, x = np.mgrid[:32, :32]
    picture = (8 * x + y // 8).astype(np.uint8)             # columns differ by 8, rows by 1 in 8
    moved = task.augment(torch.from_numpy(np.tile(picture.reshape(1, -1), (400, 1))),
                         torch.Generator().manual_seed(0)).numpy().reshape(400, 32, 32)
    seen = set()
    for one in moved:
        mirrored = one[0, 0] > one[0, 31]
        one = one[:, ::-1] if mirrored else one
        dx = round((int(one[0, 16]) - int(picture[0, 16])) / 8)
        fits = [dy for dy in range(-2, 3)
                if np.array_equal(one, picture[np.clip(y + dy, 0, 31), np.clip(x + dx, 0, 31)])]
        assert fits
        seen |= {(bool(mirrored), dx, dy) for dy in fits}
    assert len(seen) == 50 and abs(np.mean([m[0, 0] > m[0, 31] for m in moved]) - 0.5) < 0.1
