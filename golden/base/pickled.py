"""What a pickle describes, read without running it: nothing is imported, nothing is called.

It knows the opcodes that ``torch.save`` writes. Where a pickle names something of Python's, there
is a :class:`Foreign` in its place.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass

VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE",
          "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PUT, GET = {"BINPUT", "LONG_BINPUT"}, {"BINGET", "LONG_BINGET"}
NOTHING = {"PROTO", "FRAME"}
KEYS = (str, int, float, bool, bytes, type(None))   # of dicts; others might take long to hash


@dataclass(frozen=True, eq=False)
class Foreign:
    """A thing of Python's that a pickle names, and what it would be called with."""

    name: str               # module.name
    arguments: tuple = ()


def read(data: bytes, stored: Callable[[object], object]) -> object:
    """The value that a pickle describes: None, bools, numbers, texts, tuples, lists and dicts.

    ``stored(id)`` gives what stands for a persistent id. Raises ``ValueError``, ``IndexError``,
    ``KeyError`` or ``TypeError`` for anything that is no such pickle.
    """
    stack, marks, memo = [], [], {}

    def above() -> list:
        first = marks.pop()
        found = stack[first:]
        del stack[first:]
        return found

    for op, value, _ in pickletools.genops(data):
        name = op.name
        if name in VALUES:
            stack.append(value)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name in TUPLES:
            parts = [stack.pop() for _ in range(TUPLES[name])]
            stack.append(tuple(reversed(parts)))
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(above()))
        elif name in ("APPEND", "APPENDS"):
            values = above() if name == "APPENDS" else [stack.pop()]
            _extend(stack[-1], values)
        elif name in ("SETITEM", "SETITEMS"):
            values = above() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _update(stack[-1], values)
        elif name in PUT or name == "MEMOIZE":
            memo[len(memo) if value is None else value] = stack[-1]
        elif name in GET:
            stack.append(memo[value])
        elif name == "GLOBAL":
            stack.append(Foreign(value.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            last, module = stack.pop(), stack.pop()
            if not isinstance(last, str) or not isinstance(module, str):    # as text might be huge
                raise ValueError("a name that is no text in its pickle")
            stack.append(Foreign(f"{module}.{last}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack.append(_made(stack.pop(), arguments))
        elif name == "BUILD":           # attributes, such as those of a state dict
            stack.pop()
        elif name == "BINPERSID":
            stack.append(stored(stack.pop()))
        elif name == "STOP":
            return stack.pop()
        elif name not in NOTHING:
            raise ValueError(f"{name} in its pickle")
    raise ValueError("its pickle has no end")


def _made(what: object, arguments: object) -> object:
    if not isinstance(what, Foreign) or not isinstance(arguments, tuple):
        raise ValueError("a call of no function in its pickle")
    if what.name == "collections.OrderedDict" and not arguments:
        return {}
    return Foreign(what.name, arguments)


def _extend(target: object, values: list) -> None:
    if isinstance(target, list):
        target.extend(values)
    elif not isinstance(target, Foreign):
        raise ValueError("a list that is none in its pickle")


def _update(target: object, values: list) -> None:
    if isinstance(target, dict):
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[key if type(key) in KEYS else Foreign("a key that is no text")] = value
    elif not isinstance(target, Foreign):
        raise ValueError("a dict that is none in its pickle")
