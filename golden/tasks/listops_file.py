"""ListOps in the published form: a line of ``Source TAB Target`` each, the tree in parentheses.

A tree nests to the left: ``( ( ( [MAX 2 ) 9 ) ] )`` is the larger of 2 and 9. Whatever this file
reads, it takes with or without a byte order mark, with either line end, and with blank lines at
the end.
"""

import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from golden.tasks import data
from golden.tasks.data import DataError
from golden.tasks.base import Split
from golden.tasks.listops_rules import CLOSE, MIN, flat, nested
from golden.tasks.sources import again, reading

HEADER = "Source\tTarget"
LINE = 1 << 20          # characters, at most
SHOWN = 10              # disagreements that check prints
OPERATORS = {"[MIN": min, "[MAX": max, "[MED": lambda values: int(statistics.median(values)),
             "[SM": lambda values: sum(values) % 10}
ATOMS = {"(": "(", "]": "]"} | {str(digit): digit for digit in range(10)}


def rows(path: Path) -> Iterator[tuple[int, str, int]]:
    """(line number, tree, target) of every line; DataError for a line that is none."""
    blank, found = 0, False
    with reading(path), open(path, encoding="utf-8-sig") as file:
        try:
            if file.readline(LINE).rstrip("\n") != HEADER:
                raise DataError(f"{path}: the first line must be Source TAB Target; {again(path)}")
            for number, line in enumerate(iter(lambda: file.readline(LINE), ""), 2):
                if not line.strip():
                    blank = blank or number
                    continue
                if blank:
                    raise DataError(f"{path}, line {blank} is blank, but trees follow it; "
                                    f"{again(path)}")
                source, _, target = line.rstrip("\n").partition("\t")
                if not source or len(target) != 1 or target not in "0123456789":
                    raise DataError(f"{path}, line {number}: expected a tree, a tab and a digit; "
                                    f"{again(path)}")
                found = True
                yield number, source, int(target)
        except UnicodeDecodeError:
            raise DataError(f"{path} is not a text file; {again(path)}") from None
    if not found:
        raise DataError(f"{path} holds no tree; {again(path)}")


def read(path: Path, length: int) -> Split:
    """The trees of a file as tokens, without their parentheses, cut at ``length``."""
    trees, labels = [], []
    for number, source, target in rows(path):
        try:
            tokens = np.array(flat(source), np.uint8)
        except KeyError as error:
            raise DataError(f"{path}, line {number}: {error.args[0][:20]!r} is not a symbol of "
                            f"ListOps; {again(path)}") from None
        brackets = source.count("(")
        depth = np.cumsum(((MIN <= tokens) & (tokens < CLOSE)).astype(np.int64) - (tokens == CLOSE))
        if (not len(tokens) or depth[-1] or (depth[:-1] <= 0).any()
                or brackets != source.count(")") or brackets not in (0, len(tokens) - 1)):
            raise DataError(f"{path}, line {number}: the tree is not complete; {again(path)}")
        trees.append(tokens[:length])
        labels.append(target)
    lengths = np.array([len(tree) for tree in trees], np.int64)
    values = np.zeros((len(trees), length), np.uint8)
    values[np.arange(length) < lengths[:, None]] = np.concatenate(trees)
    return Split(values, lengths, np.array(labels, np.int64))


def write(path: Path, split: Split) -> None:
    """The trees of a split in the published form; the file appears once it is whole."""
    def lines(file):
        file.write(f"{HEADER}\n".encode())
        trees = zip(split.values, split.lengths, split.labels)
        for tokens, length, label in tqdm(trees, total=len(split), desc=f"writing {path.name}",
                                          unit="tree", leave=False, disable=None):
            file.write(f"{nested(tokens[:length])}\t{label}\n".encode())
    data.write_atomically(path, lines, "make room, or give another --out")


def value(source: str) -> int:
    """Value of a tree in the published form; ValueError says where it is broken.

    Reads the parentheses: an operator opens a list, ``( list value )`` is a longer list, and
    ``( list ] )`` the value of the list.
    """
    stack = []
    for k, symbol in enumerate(source.split()):
        if symbol == ")":
            opening, listed, last = stack[-3:] if len(stack) > 2 else (None, None, None)
            if opening == "(" and type(listed) is list:
                del stack[-2:]
                if type(last) is int:
                    listed.append(last)
                    stack[-1] = listed
                    continue
                if last == "]" and len(listed) > 1:
                    stack[-1] = OPERATORS[listed[0]](listed[1:])
                    continue
        elif symbol in ATOMS:
            stack.append(ATOMS[symbol])
            continue
        elif symbol in OPERATORS:
            stack.append([symbol])
            continue
        raise ValueError(f"symbol {k + 1} of the tree, {symbol[:20]!r}, does not fit there")
    if len(stack) != 1 or type(stack[0]) is not int:
        raise ValueError("the tree ends before it is complete")
    return stack[0]


def check(path: Path) -> bool:
    """Evaluate every tree of a file, print what does not agree; whether all targets do.

    Raises :class:`DataError` for a file that is broken.
    """
    trees = agree = 0
    with tqdm(unit="tree", leave=False, disable=None) as bar:
        for number, source, target in rows(path):
            try:
                found = value(source)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {error}; {again(path)}") from None
            trees += 1
            agree += found == target
            if found != target and trees - agree <= SHOWN:
                tqdm.write(f"line {number}: the tree is {found}, the file says {target}")
            bar.update()
    if trees - agree > SHOWN:
        print(f"... and {trees - agree - SHOWN:,} more")
    print(f"{agree} of {trees} targets agree")
    return agree == trees
