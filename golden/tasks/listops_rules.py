"""ListOps trees by their published rules (Nangia & Bowman, 2018; Tay et al., 2021).

A tree at depth d (root 1) is with probability 1/4, and d < 10, an operator with 2 to 10 arguments,
each a tree at depth d + 1, else a digit. It is kept iff 500 < length < 2000, where a digit counts 1
and an operator 2 (its name and its ``]``), so the length is the number of symbols. Values: MIN,
MAX, MED (the median, truncated), SM (sum modulo 10).
"""

import numba as nb
import numpy as np

SYMBOLS = ("", *"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]")   # by token; 0 is padding
MIN, MAX, MED, SM, CLOSE = range(11, 16)
DEPTH, ARGUMENTS, SHORTEST, LONGEST = 10, 10, 501, 1999


@nb.njit(cache=True)
def draw(state, n):
    """Uniform in 0 .. n - 1 from the splitmix64 generator whose state is ``state[0]``."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    x = state[0]
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return np.int64(((x >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@nb.njit(cache=True)
def combine(op, values):
    """Value of an operator token on its arguments' values (an int64 array)."""
    if op == SM:
        total = 0
        for value in values:
            total += value
        return total % 10
    n = len(values)
    ordered = values.copy()             # sorted by insertion: np.sort compiles for seconds
    for i in range(1, n):
        j, value = i, ordered[i]
        while j > 0 and ordered[j - 1] > value:
            ordered[j] = ordered[j - 1]
            j -= 1
        ordered[j] = value
    if op == MIN:
        return ordered[0]
    if op == MAX:
        return ordered[n - 1]
    return (ordered[(n - 1) // 2] + ordered[n // 2]) // 2       # of one or two middle ones


@nb.njit(cache=True)
def one_tree(state, tokens):
    """Write one tree to ``tokens``; (length, value), length 0 if it is not to be kept.

    Trees are drawn depth first with a stack; a tree is given up once it is too long.
    """
    op = np.empty(DEPTH, np.int64)                  # of the open operators, by depth
    due = np.empty(DEPTH, np.int64)                 # arguments
    have = np.empty(DEPTH, np.int64)                # arguments that are complete
    values = np.empty((DEPTH, ARGUMENTS), np.int64)
    open_, length = 0, 0
    while True:
        if open_ + 1 < DEPTH and draw(state, 4) == 0:
            op[open_] = MIN + draw(state, 4)
            due[open_], have[open_] = 2 + draw(state, ARGUMENTS - 1), 0
            value, complete = 0, False
            token = op[open_]
            open_ += 1
        else:
            value, complete = draw(state, 10), True
            token = 1 + value
        if length == LONGEST:
            return 0, 0
        tokens[length] = token
        length += 1
        while complete and open_:
            k = open_ - 1
            values[k, have[k]] = value
            have[k] += 1
            complete = have[k] == due[k]
            if complete:
                if length == LONGEST:
                    return 0, 0
                value = combine(op[k], values[k, :due[k]])
                tokens[length] = CLOSE
                length += 1
                open_ = k
        if complete:
            return (length, value) if length >= SHORTEST else (0, 0)


@nb.njit(cache=True)
def trees(seed, count, tokens, lengths, labels):
    """Fill ``count`` rows with kept trees; returns how many were drawn.

    tokens (count, >= 1999) uint8, 0 behind a tree; lengths, labels (count,) int64.
    """
    state = np.array([np.uint64(seed)])
    row = np.empty(LONGEST, np.uint8)
    tries = 0
    for k in range(count):
        length = 0
        while length == 0:
            tries += 1
            length, value = one_tree(state, row)
        tokens[k, :length] = row[:length]
        tokens[k, length:] = 0
        lengths[k], labels[k] = length, value
    return tries


def nested(tokens: np.ndarray) -> str:
    """A tree as in the published files: ``( ( ( [MAX 2 ) 9 ) ] )``, nesting to the left.

    So an operator stands behind as many ``(`` as it has arguments, and one.
    """
    parts, opened = [], []              # of an open operator: its place in parts, its arguments
    for token in tokens.tolist():
        if MIN <= token < CLOSE:
            opened.append([len(parts), 0])
            parts.append(SYMBOLS[token])
            continue
        parts.append(SYMBOLS[token])
        if token == CLOSE:
            place, arguments = opened.pop()
            parts[place] = "( " * (arguments + 1) + parts[place]
            parts.append(")")
        if opened:
            opened[-1][1] += 1
            parts.append(")")
    return " ".join(parts)


def flat(source: str) -> list[int]:
    """Tokens of a published tree: ``(`` and ``)`` carry nothing; raises KeyError for others."""
    numbers = {symbol: k for k, symbol in enumerate(SYMBOLS) if symbol}
    return [numbers[symbol] for symbol in source.split() if symbol not in ("(", ")")]
