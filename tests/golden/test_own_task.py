"""A user's own task: whole numbers of any kind, and one line for whatever else its class does."""

import json
import textwrap

import numpy as np
import pytest
import torch

from golden.base.cli import UserError, code
from golden.tasks import TaskError, checked, make_task, spec, subsets_of
from golden.tasks.own import whole
from golden.training.recipes import GENERAL, recipe_for
from golden.training.run import Run

HEAD = """
import sys
import numpy as np
from golden.tasks import Split
from golden.tasks.data import DataError
from quant.formats import SQ, UQ


class T:
    name, n_classes, length, vocab, sample_format = "mine", 2, 4, 20, None
    values = np.arange(12).reshape(3, 4)
    lengths, labels = np.array([4, 2, 1]), np.array([0, 1, 1])

    def load(self, split, data_dir=None):
        return Split(self.values, self.lengths, self.labels)
"""
COUNT = iter(range(10 ** 6))


@pytest.fixture
def task_of(tmp_path, monkeypatch):
    """Makes a task whose class has these lines more."""
    def make(lines: str = ""):
        name = f"written_{next(COUNT)}"
        (tmp_path / f"{name}.py").write_text(
            HEAD + textwrap.indent(textwrap.dedent(lines).strip("\n"), "    ") + "\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        return make_task(f"{name}:T")
    return make


SAME = {
    "int32": "labels = np.array([0, 1, 1], np.int32)",
    "uint64": "labels = np.array([0, 1, 1], np.uint64)\nvalues = values.astype(np.uint64)",
    "uint16": "values = values.astype(np.uint16)", "other order": "values = values.astype('>i4')",
    "floats": "labels = np.array([0., 1., 1.])\nvalues = values.astype(float)",
    "lists": "labels, values = [0, 1, 1], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]",
    "bool": "labels = np.array([False, True, True])",
    "strided": "values = values[::-1][::-1]\nlengths = np.repeat(lengths, 2)[::2]",
    "numpy numbers": "n_classes, length, vocab = np.int64(2), np.int32(4), np.uint8(20)\n"
                     "inputs = np.int64(1)",
    "tuple": "def load(self, split, data_dir=None):\n"
             "    return self.values, self.lengths, self.labels",
    "no data_dir": "def load(self, split):\n    return self.values, self.lengths, self.labels",
    "by name": "def load(self, split, *, data_dir):\n"
               "    return self.values, self.lengths, self.labels",
    "static": "load = staticmethod(lambda split: (T.values, T.lengths, T.labels))"}


@pytest.mark.parametrize("lines", SAME.values(), ids=SAME)
def test_whole_numbers_of_any_kind(task_of, lines):
    """The same task to every command: types, and zeros behind the end of a sequence."""
    task = task_of(lines)
    split = task.load("test")
    assert split.values.tolist() == [[0, 1, 2, 3], [4, 5, 0, 0], [8, 0, 0, 0]]
    assert split.lengths.dtype == split.labels.dtype == np.int64
    torch.from_numpy(split.values).long()
    assert split.lengths.tolist() == [4, 2, 1] and split.labels.tolist() == [0, 1, 1]
    assert [type(x) for x in (task.n_classes, task.length, task.vocab, task.inputs)] == [int] * 4
    json.dumps([task.n_classes, spec(task)])
    assert checked(split, task) is split and spec(task).endswith(":T")


def test_samples_keep_their_type(task_of):
    task = task_of("vocab, sample_format = 0, UQ(0, 8)\nvalues = values.astype(np.uint8)\n"
                   "lengths = np.array([4, 4, 4])")
    assert task.load("train").values is make_task(spec(task)).load("train").values


def test_samples_that_no_integer_holds(task_of):
    with pytest.raises(TaskError, match="at most 64 bits with a sign, not UQ\\(0,64\\)"):
        task_of("vocab, sample_format = 0, UQ(0, 64)")


def raising(what: str) -> str:
    return f"def load(self, split, data_dir=None):\n    {what}"


REFUSED = {
    "a token never trained": (
        "def load(self, split, data_dir=None):\n    values = self.values.copy()\n"
        "    values[0, 1] += 19 * (split == 'test')\n"
        "    return values, self.lengths, self.labels",
        "test: values from 0 to 20, they must be from 0 to 19; the first that are not: example 0"),
    "halves": ("values = values + 0.5", "values must be whole numbers, not 0.5 at [0, 0]"),
    "nan": ("values = values * np.nan", "values must be whole numbers, not nan"),
    "texts": ("labels = ['a', 'b', 'c']", "labels must be an array of whole numbers, not of <U1"),
    "ragged": ("values = [[1], [1, 2], [3]]", "values must be an array of whole numbers (setting"),
    "huge": ("labels = np.array([0, 1, 2 ** 64 - 1], np.uint64)", "which is no class, sample"),
    "masked": ("labels = np.ma.masked_equal([0, 1, 1], 1)", "masked"),
    "one number": ("labels = 1", "labels has shape () beside 0 labels"),
    "no steps": ("values = np.zeros((3, 0), int)\nlengths = np.zeros(3, int)",
                 "values has shape (3, 0)"),
    "nothing": (raising("pass"), "load('test') gave NoneType, not a golden.tasks.Split"),
    "two arrays": (raising("return self.values, self.labels"), "gave tuple, not"),
    "a third argument": ("def load(self, split, folder, more):\n    pass",
                         "it must take (split, data_dir=None), not (split, folder, more)"),
    "an exception": (raising("return self.nothing"), "load('test') raised AttributeError: 'T'"),
    "lines": (raising("raise ValueError('a\\nb')"), "raised ValueError: a b (in "),
    "exit": (raising("sys.exit(1)"), "raised SystemExit: 1 (in "),
    "deep": ("def load(self, split, data_dir=None):\n    return self.load(split)",
             "raised RecursionError"),
    "a message": (raising("raise DataError('put x into y')"), "put x into y")}


@pytest.mark.parametrize("lines, message", REFUSED.values(), ids=REFUSED)
def test_what_a_class_does_is_one_line(task_of, lines, message, capsys):
    task = task_of(lines)
    assert code("a command", lambda: task.load("test") and 0) == 2
    said = capsys.readouterr().err
    assert message in said and len(said.strip().splitlines()) == 1
    assert "put x" in message or spec(task) in said or "task mine" in said


def test_the_line_of_the_users_file_is_named(task_of, tmp_path):
    task = task_of("def load(self, split, data_dir=None):\n    return np.arange(3).reshape(2)")
    number = HEAD.count("\n") + 2
    with pytest.raises(TaskError, match=rf"\(in {tmp_path}/written_\d+\.py, line {number}\)"):
        task.load("val")


@pytest.mark.parametrize("lines, message", [
    ("n_classes = 2.0", "n_classes must be an integer of at least 2, not 2.0"),
    ("n_classes = True", "not True"),
    ("permutation = np.arange(4)", "permutation must be the name"),
    ("inputs = np.int64(3)", "inputs must be 1 or 2"),
    ("@property\ndef length(self):\n    raise OSError('no disk')", "raised OSError: no disk (in ")])
def test_members_are_one_line(task_of, lines, message):
    with pytest.raises(UserError) as error:
        task_of(lines)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_module_that_ends_is_one_line(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "ends_at_once.py").write_text("import sys\nsys.exit('I am a script')\n")
    with pytest.raises(TaskError, match=r"raised SystemExit: I am a script \(in .*line 2\)"):
        make_task("ends_at_once:T")


def test_optional_members(task_of):
    task = task_of("permutation = 'mine'\ndef subsets(self, split):\n"
                   "    return {'long': np.array([True, False, False])}\n"
                   "def augment(self, values, generator):\n    return values + self.more\nmore = 1")
    assert task.permutation == "mine" and list(subsets_of(task, "test", 3)) == ["long"]
    values = torch.full((2, 4), 3)
    assert task.augment(values, None).tolist() == [[4] * 4] * 2
    type(task._task).more = 17
    with pytest.raises(TaskError, match="values from 20 to 20, they must be from 0 to 19"):
        task.augment(values, None)
    assert not hasattr(task_of(), "augment") and not hasattr(task_of(), "permutation")
    with pytest.raises(TaskError, match="gave int, not a tensor of shape"):
        task_of("def augment(self, values, generator):\n    return 1").augment(values, None)
    with pytest.raises(TaskError, match="subsets must give a dict"):
        subsets_of(task_of("def subsets(self, split, data_dir):\n    return []"), "test", 3)
    with pytest.raises(TaskError, match="the recipe augments|augment.* raised ZeroDivisionError"):
        task_of("def augment(self, values, generator):\n    return 1 / 0").augment(values, None)


@pytest.mark.parametrize("name", ["digits", "psmnist", "psmnist:seed1"])
def test_a_name_of_a_shipped_task_does_not_get_its_recipe(task_of, name):
    task = task_of(f"name = {name!r}")
    assert recipe_for(task) == recipe_for(task_of(), GENERAL)
    assert recipe_for(make_task("digits")) != recipe_for(make_task("digits"), GENERAL)


def test_numbers_are_not_copied_without_need():
    array = np.arange(6).reshape(2, 3)
    assert whole(array, "values") is array


def test_signed_samples_start_with_neurons_for_both_signs(task_of):
    """A training's start, from the samples: negative values let as many neurons fire as others."""
    task = task_of("vocab, sample_format = 0, SQ(1, 15)\n"
                   "values = np.random.default_rng(0).normal(0, 3000, (80, 4)).astype(int)\n"
                   "lengths, labels = np.full(80, 4), np.arange(80) % 2")
    run = Run(task, recipe_for(task), task.load("train"))
    values = torch.from_numpy(task.load("test").values) / 2 ** 15

    def firing(chosen):
        return run.net.encoder(chosen, torch.float32).gt(0).float().mean().item()
    below = firing(values[values < 0])
    run.calibrate()
    assert below < 0.05 and firing(values[values < 0]) > 0.4 and firing(values[values > 0]) > 0.4
