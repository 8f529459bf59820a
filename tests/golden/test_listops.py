"""ListOps against its published rules, and its cache and files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from golden.tasks import data
from golden.base import cli
from golden.tasks import Split, checked, listops, listops_file, make_task
from golden.tasks.listops_rules import MAX, MED, MIN, SM, SYMBOLS, combine, flat, nested, trees

ROOT = Path(__file__).resolve().parents[2]
HAND = [    # tree, its value worked out by hand
    ("[MAX 2 9 ]", 9), ("[MIN 4 7 3 ]", 3), ("[SM 9 9 9 ]", 7), ("[SM 5 5 ]", 0),
    ("[MED 1 2 ]", 1), ("[MED 1 4 ]", 2), ("[MED 9 0 5 ]", 5), ("[MED 8 1 3 6 ]", 4),
    ("[MAX 2 [MIN 4 7 ] [SM 8 8 [MED 1 9 2 ] ] ]", 8),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(data.CACHE_ENV, str(tmp_path))
    monkeypatch.delenv(data.ENV, raising=False)


@pytest.fixture(scope="module")
def split() -> Split:
    return listops.generate("test", 2000)


def value(tokens) -> tuple[int, int]:
    """(value, depth) of a tree by NumPy's own functions, with a stack."""
    stack, depth, deepest = [], 0, 0
    for token in tokens:
        symbol = SYMBOLS[token]
        if symbol.startswith("["):
            stack.append(symbol)
            depth += 1
            deepest = max(deepest, depth)
        elif symbol == "]":
            arguments = []
            while not isinstance(stack[-1], str):
                arguments.append(stack.pop())
            assert 2 <= len(arguments) <= 10
            do = {"[MIN": min, "[MAX": max, "[MED": lambda a: int(np.median(a)),
                  "[SM": lambda a: sum(a) % 10}[stack.pop()]
            stack.append(do(arguments))
            depth -= 1
        else:
            stack.append(int(symbol))
    result, = stack
    return result, deepest


@pytest.mark.parametrize("text, expected", HAND)
def test_values_by_hand(text, expected):
    assert value(flat(text))[0] == expected
    words = text.replace("[", "").replace("]", "").split()
    if text.count("[") == 1:
        op = {"MIN": MIN, "MAX": MAX, "MED": MED, "SM": SM}[words[0]]
        assert combine(op, np.array(words[1:], np.int64)) == expected


def test_operators_on_random_arguments():
    rng = np.random.default_rng(0)
    for n in range(2, 11):
        for _ in range(30):
            a = rng.integers(0, 10, n)
            assert [combine(op, a) for op in (MIN, MAX, MED, SM)] == [
                a.min(), a.max(), int(np.median(a)), a.sum() % 10]


def test_every_tree_keeps_the_rules(split):
    deepest = 0
    for tokens, length, label in zip(split.values, split.lengths, split.labels):
        assert 500 < length < 2000
        assert (tokens[:length] > 0).all() and (tokens[length:] == 0).all()
        result, depth = value(tokens[:length])
        assert result == label
        deepest = max(deepest, depth)
    assert deepest == 9                     # operators stop one level above the leaves
    assert len({t[:n].tobytes() for t, n in zip(split.values, split.lengths)}) == 2000
    checked(split, make_task("listops"))


def test_shares_are_the_published_ones(split):
    shares = np.bincount(split.labels, minlength=10) / 2000
    assert 0.145 < shares[0] < 0.2 and 0.142 < shares[9] < 0.197
    assert (shares[1:9] > 0.055).all() and (shares[1:9] < 0.115).all()
    assert 930 < np.median(split.lengths) < 1020 and 1000 < split.lengths.mean() < 1096
    block = np.zeros((500, 2000), np.uint8), np.zeros(500, np.int64), np.zeros(500, np.int64)
    assert 10 < trees(np.uint64(1), 500, *block) / 500 < 14.5


def test_splits_differ_and_are_repeated(split):
    again, other = listops.generate("test", 50), listops.generate("val", 50)
    assert np.array_equal(again.values, split.values[:50])
    assert not np.array_equal(other.lengths, again.lengths)


def test_nested_format():
    assert nested(np.array(flat("[MAX 2 9 ]"))) == "( ( ( [MAX 2 ) 9 ) ] )"
    text = "( ( ( [SM ( ( ( [MIN 4 ) 7 ) ] ) ) 3 ) ] )"
    assert flat(text) == flat("[SM [MIN 4 7 ] 3 ]") and nested(np.array(flat(text))) == text
    assert nested(np.array([4])) == "3"


def test_nested_format_of_generated_trees(split):
    for tokens, n in zip(split.values[:20], split.lengths[:20]):
        text = nested(tokens[:n])
        assert flat(text) == tokens[:n].tolist() and text.count("(") == text.count(")")
        assert text.count("(") == n - 1          # one pair per joint


def test_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(listops, "SIZES", {"train": 30, "val": 10, "test": 10})
    task = make_task("listops")
    first = task.load("test")
    assert [p.name for p in (tmp_path / "listops").iterdir()] == ["v1-test.npz"]
    monkeypatch.setattr(listops, "generate", lambda *args: pytest.fail("generated again"))
    second = task.load("test")
    for name in ("values", "lengths", "labels"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "other size",
                                    "an array more"])
def test_damaged_cache_is_generated_again(monkeypatch, tmp_path, damage):
    monkeypatch.setattr(listops, "SIZES", {"train": 30, "val": 10, "test": 10})
    task, path = make_task("listops"), tmp_path / "listops" / "v1-test.npz"
    first = task.load("test")
    good = path.read_bytes()
    if damage == "other size":
        monkeypatch.setattr(listops, "SIZES", {"train": 30, "val": 10, "test": 9})
    elif damage == "an array more":
        with np.load(path) as stored:
            arrays = dict(stored)
        np.savez(path, **arrays, more=np.arange(3))
    else:
        path.write_bytes({"cut": good[:-40], "text": b"hello", "empty": b""}[damage])
    second = task.load("test")
    assert np.array_equal(first.values[:9], second.values[:9])
    assert len(second) == listops.SIZES["test"]


def test_published_files(tmp_path):
    folder = tmp_path / "d" / "listops"
    folder.mkdir(parents=True)
    published(folder / "basic_val.tsv")
    found = make_task("listops").load("val", tmp_path / "d")
    assert found.labels.tolist() == [result for _, result in HAND]
    for tokens, n, (text, _) in zip(found.values, found.lengths, HAND):
        assert tokens[:n].tolist() == flat(text)
    checked(found, make_task("listops"))


TREE = "( ( ( [MAX 2 ) 3 ) ] )"
HEAD = "Source\tTarget\n"
BROKEN = [      # content of a file, what is said about it
    ("", "first line must be Source TAB Target"), (HEAD, "no tree"), (HEAD + "\n\n", "no tree"),
    (f"{TREE}\t3\n", "first line must be Source TAB Target"),
    (f"{HEAD}{TREE}\t3\n{TREE}\n", "line 3: expected a tree, a tab and a digit"),
    (f"{HEAD}{TREE}\t12\n", "line 2: expected a tree, a tab and a digit"),
    (f"{HEAD}{TREE}\t\n", "line 2: expected a tree, a tab and a digit"),
    (f"{HEAD}{TREE}\t3\t3\n", "line 2: expected a tree, a tab and a digit"),
    (f"{HEAD}{TREE}\t3\n\n{TREE}\t3\n", "line 3 is blank, but trees follow it"),
    (f"{HEAD}{TREE}\t3\n{TREE[:-4]}\t3\n", "line 3: "),
    (f"{HEAD}{TREE[:-2]}\t3\n", "line 2: "), (f"{HEAD}{TREE[2:]}\t3\n", "line 2: "),
    (f"{HEAD}{TREE} {TREE}\t3\n", "line 2: "),
    (f"{HEAD}( ( [MAX ] )\t3\n", "line 2: "), (f"{HEAD}{TREE.replace('2', '12')}\t3\n", "'12'"),
    (f"{HEAD}{TREE.replace('MAX', 'MAD')}\t3\n", r"'\[MAD'")]


def published(path, rows=HAND, end="\n", mark=""):
    """A file in the published form of (tree without parentheses, target) pairs."""
    lines = ["Source\tTarget", *(f"{nested(np.array(flat(t)))}\t{y}" for t, y in rows)]
    path.write_bytes((mark + "".join(line + end for line in lines)).encode())
    return path


@pytest.mark.parametrize("content, message", BROKEN)
@pytest.mark.parametrize("command", ["load", "check"])
def test_broken_published_file(tmp_path, command, content, message):
    path = tmp_path / "basic_test.tsv"
    path.write_text(content)
    with pytest.raises(data.DataError, match=message) as error:
        if command == "load":
            listops_file.read(path, 2000)
        else:
            listops_file.check(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_no_text_or_not_there(tmp_path):
    path = tmp_path / "x.tsv"
    with pytest.raises(data.DataError, match="No such file"):
        listops_file.check(path)
    path.write_bytes(HEAD.encode() + b"\xff\xfe\t3\n")
    with pytest.raises(data.DataError, match="is not a text file"):
        listops_file.check(path)


@pytest.mark.parametrize("end, mark, tail", [("\n", "", ""), ("\r\n", "\ufeff", ""),
                                             ("\n", "", "\n\n"), ("\r\n", "", "\r\n")])
def test_line_ends_mark_and_blank_lines_at_the_end(tmp_path, capsys, end, mark, tail):
    path = published(tmp_path / "x.tsv", end=end, mark=mark)
    path.write_bytes(path.read_bytes() + tail.encode())
    assert listops_file.check(path)
    assert capsys.readouterr().out == f"{len(HAND)} of {len(HAND)} targets agree\n"
    assert listops_file.read(path, 2000).labels.tolist() == [y for _, y in HAND]


@pytest.mark.parametrize("text, expected", HAND)
def test_the_evaluator_of_check(text, expected):
    assert listops_file.value(nested(np.array(flat(text)))) == expected


def test_check_agrees_with_the_generator(tmp_path, split, capsys):
    few = split.take(np.arange(100))
    listops_file.write(tmp_path / "x.tsv", few)
    assert listops_file.check(tmp_path / "x.tsv")
    assert capsys.readouterr().out.endswith("100 of 100 targets agree\n")
    again = listops_file.read(tmp_path / "x.tsv", 2000)
    for name in ("values", "lengths", "labels"):
        assert np.array_equal(getattr(again, name), getattr(few, name)), name


def run(monkeypatch, *arguments) -> int:
    """Exit code of ``python -m golden.tasks.listops``."""
    monkeypatch.setattr("sys.argv", ["listops", *map(str, arguments)])
    try:
        cli.run("golden.tasks.listops", listops.main)
    except SystemExit as end:
        return end.code
    return 0


def test_the_command_says_what_disagrees(tmp_path, monkeypatch, capsys):
    rows = [(text, (y + (k in (1, 4))) % 10) for k, (text, y) in enumerate(HAND)]
    assert run(monkeypatch, "check", published(tmp_path / "x.tsv", rows)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "line 3: the tree is 3, the file says 4", "line 6: the tree is 1, the file says 2",
        "7 of 9 targets agree"]
    assert run(monkeypatch, "check", published(tmp_path / "y.tsv", HAND)) == 0
    capsys.readouterr()
    many = published(tmp_path / "z.tsv", [("[MAX 1 2 ]", 3)] * 25)
    assert run(monkeypatch, "check", many) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12 and lines[-2:] == ["... and 15 more", "0 of 25 targets agree"]
    many.write_text("Source\n")
    assert run(monkeypatch, "check", many) == 2
    assert capsys.readouterr().err.startswith(f"golden.tasks.listops: {many}: the first line")


def test_the_command_writes_what_it_can_check(tmp_path, monkeypatch):
    path = tmp_path / "x" / "basic_val.tsv"
    assert run(monkeypatch, "generate", "--split", "val", "-n", 7, "--out", path) == 0
    assert len(listops_file.read(path, 2000)) == 7
    assert run(monkeypatch, "check", path) == 0
    assert run(monkeypatch, "generate", "-n", 1, "--out", path / "y") == 2      # path is a file


def test_python_has_no_warning_for_the_command():
    done = subprocess.run([sys.executable, "-W", "error", "-m", "golden.tasks.listops", "--help"],
                          cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr
