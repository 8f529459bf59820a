"""ListOps against its published rules, and its cache and files."""

import numpy as np
import pytest

from golden import data
from golden.tasks import Split, checked, listops, make_task
from golden.tasks.listops_rules import MAX, MED, MIN, SM, SYMBOLS, combine, flat, nested, trees

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
    assert nested(flat("[MAX 2 9 ]")) == "( ( ( [MAX 2 ) 9 ) ] )"
    text = "( ( ( [SM ( ( ( [MIN 4 ) 7 ) ] ) ) 3 ) ] )"
    assert flat(text) == flat("[SM [MIN 4 7 ] 3 ]") and nested(flat(text)) == text
    assert nested([4]) == "3"


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


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "other size"])
def test_damaged_cache_is_generated_again(monkeypatch, tmp_path, damage):
    monkeypatch.setattr(listops, "SIZES", {"train": 30, "val": 10, "test": 10})
    task, path = make_task("listops"), tmp_path / "listops" / "v1-test.npz"
    first = task.load("test")
    good = path.read_bytes()
    if damage == "other size":
        monkeypatch.setattr(listops, "SIZES", {"train": 30, "val": 10, "test": 9})
    else:
        path.write_bytes({"cut": good[:-40], "text": b"hello", "empty": b""}[damage])
    second = task.load("test")
    assert np.array_equal(first.values[:9], second.values[:9])
    assert len(second) == listops.SIZES["test"]


def test_published_files(tmp_path):
    folder = tmp_path / "d" / "listops"
    folder.mkdir(parents=True)
    rows = [f"{nested(flat(text))}\t{result}" for text, result in HAND]
    (folder / "basic_val.tsv").write_text("\n".join(["Source\tTarget", *rows]) + "\n")
    found = make_task("listops").load("val", tmp_path / "d")
    assert found.labels.tolist() == [result for _, result in HAND]
    for tokens, n, (text, _) in zip(found.values, found.lengths, HAND):
        assert tokens[:n].tolist() == flat(text)
    checked(found, make_task("listops"))


@pytest.mark.parametrize("text, message", [
    ("", "first line"), ("Source\tTarget\n", "no tree"), ("Source\tTarget\n[MAX 2 x ]\t3\n",
                                                         "line 2"),
    ("Source\tTarget\n[MAX 2 3 ]\t3\n[MAX 2 3 ]\n", "line 3"),
    ("Source\tTarget\n[MAX 2 3 ]\t12\n", "line 2")])
def test_bad_published_file(tmp_path, text, message):
    path = tmp_path / "basic_test.tsv"
    path.write_text(text)
    with pytest.raises(data.DataError, match=message):
        listops.read_tsv(path)
