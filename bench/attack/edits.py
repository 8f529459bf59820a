"""Changes of bytes, of lines of text and of JSON. Each returns what it made, and words for it."""

import json
import math
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np

Rng = np.random.Generator
DEEP = 100_000                  # brackets in one another
HOSTILE = (None, True, False, 0, 1, -1, 3, 2**31, -2**31, 2**63, 10**18, -10**18, 10**30,
           10**4000, 0.5, -0.0, 1e-300, 1e308, math.nan, math.inf, "", "x", "0", "../../x",
           "planted:Task", "\0", "é" * 300, [], {}, [[]], {"x": 1}, [1, 2, 3])


def pick(rng: Rng, items):
    """One of a sequence."""
    return items[int(rng.integers(len(items)))]


def short(value, most: int = 60) -> str:
    """A value as a few characters of text."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "10**n"
    return text if len(text) <= most else f"{text[:most - 4]} ..."


def span(rng: Rng, size: int, most: int = 64) -> slice:
    """A random part of so many bytes, at least one where there are any."""
    first = int(rng.integers(max(size, 1)))
    return slice(first, min(size, first + int(rng.integers(1, most + 1))))


def _flip(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    found, at, bit = bytearray(raw), int(rng.integers(len(raw))), int(rng.integers(8))
    found[at] ^= 1 << bit
    return bytes(found), f"bit {bit} of byte {at} flipped"


def _noise(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    part = span(rng, len(raw))
    return (raw[:part.start] + rng.bytes(part.stop - part.start) + raw[part.stop:],
            f"bytes {part.start} to {part.stop - 1} at random")


def _zeros(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    part = span(rng, len(raw), 4096)
    return (raw[:part.start] + bytes(part.stop - part.start) + raw[part.stop:],
            f"bytes {part.start} to {part.stop - 1} zero")


def _cut(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    size = int(rng.integers(len(raw)))
    return raw[:size], f"cut at byte {size}"


def _gone(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    part = span(rng, len(raw))
    return raw[:part.start] + raw[part.stop:], f"bytes {part.start} to {part.stop - 1} removed"


def _twice(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    part = span(rng, len(raw), 4096)
    return (raw[:part.stop] + raw[part.start:],
            f"bytes {part.start} to {part.stop - 1} twice")


def _more(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    at, count = pick(rng, (0, int(rng.integers(len(raw) + 1)), len(raw))), int(rng.integers(1, 65))
    return raw[:at] + rng.bytes(count) + raw[at:], f"{count} random bytes put in at byte {at}"


def _other(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    size = pick(rng, (0, 1, 100, len(raw)))
    return rng.bytes(size), f"{size} random bytes in place of all"


def of_bytes(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    """Any change of bytes; every second one is a flipped bit."""
    if not raw:
        return rng.bytes(10), "10 random bytes in place of none"
    others = (_noise, _zeros, _cut, _gone, _twice, _more, _other)
    return (_flip if rng.random() < 0.5 else pick(rng, others))(rng, raw)


def of_lines(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    """A change that an editor of texts, or a bad copy, makes of a file of lines."""
    lines = raw.splitlines(keepends=True)
    at = int(rng.integers(len(lines)))
    line = lines[at]
    where = f"line {at + 1}"
    chosen = pick(rng, ("gone", "twice", "blank", "swapped", "windows", "mark", "tab", "word",
                        "long", "unended", "number", "character"))
    if chosen == "gone":
        del lines[at]
    elif chosen == "twice":
        lines.insert(at, line)
    elif chosen == "blank":
        lines.insert(at, pick(rng, (b"\n", b" \n", b"\t\n")))
    elif chosen == "swapped":
        other = int(rng.integers(len(lines)))
        lines[at], lines[other] = lines[other], line
    elif chosen == "windows":
        return raw.replace(b"\n", b"\r\n"), "line ends of Windows"
    elif chosen == "mark":
        return b"\xef\xbb\xbf" + raw, "a byte order mark"
    elif chosen == "tab":
        lines[at] = line.replace(b"\t", pick(rng, (b" ", b"", b"\t\t")), 1)
    elif chosen == "word":
        words = line.split(b" ")
        words[int(rng.integers(len(words)))] = pick(
            rng, (b"", b"(", b")", b"]", b"[MAX", b"-1", b"1e9", b"\xff", b"\0", "²".encode()))
        lines[at] = b" ".join(words)
    elif chosen == "long":
        lines[at] = line.rstrip(b"\n") * max(1, 5_000_000 // len(line)) + b"\n"
    elif chosen == "unended":
        lines[-1], where = lines[-1].rstrip(b"\n"), "the last line"
    elif chosen == "number":
        first = line.split(b"\t")[0]
        lines[at] = line.replace(first, pick(rng, (b"2", b"-1", b"10**9", b"9" * 5000, b"nan")), 1)
    else:
        k = int(rng.integers(len(line)))
        lines[at] = line[:k] + pick(rng, string.printable).encode() + line[k + 1:]
    return b"".join(lines), f"{where}: {chosen}"


def nodes(value, at: str = "") -> list[tuple[object, object, str]]:
    """(container, key, place in words) of everything below a value of dicts and lists."""
    found = []
    items = (value.items() if isinstance(value, dict) else
             enumerate(value) if isinstance(value, list) else ())
    for key, inner in items:
        place = f"{at}.{key}" if at else str(key)
        found.append((value, key, place))
        found += nodes(inner, place)
    return found


def near(rng: Rng, value):
    """A value that looks much like another one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return pick(rng, (value + 1, value - 1, -value, 2 * value, value * 10**6, float(value),
                          str(value)))
    if isinstance(value, str) and value:
        k = int(rng.integers(len(value)))
        letter = str(rng.integers(10)) if value[k].isdigit() else pick(rng, string.ascii_letters)
        return value[:k] + letter + value[k + 1:]
    return pick(rng, ([value], {"x": value}, str(value)))


def change(rng: Rng, value, hostile: Callable = lambda rng, old: pick(rng, HOSTILE)) -> str:
    """Change one place of nested dicts and lists, in place; ``hostile(rng, old)`` gives values."""
    container, key, place = pick(rng, nodes(value))
    kinds = ["value", "near", "gone", "nested", "swapped", "twice"]
    kind = pick(rng, kinds + (["renamed"] if isinstance(container, dict) else []))
    old = container[key]
    if kind in ("value", "near", "nested"):
        new = (hostile(rng, old) if kind == "value" else near(rng, old) if kind == "near" else
               pick(rng, ([old], {"x": old})))
        container[key] = new
        return f"{place} {short(old)} became {short(new)}"
    if kind == "gone":
        del container[key]
        return f"{place} removed"
    if kind == "renamed":
        new = pick(rng, (f"{key}_", str(key).upper(), f"module.{key}", "", 7))
        container[new] = container.pop(key)
        return f"{place} renamed {new!r}"
    if kind == "twice" and isinstance(container, list):
        container.insert(key, old)
        return f"{place} twice"
    if kind == "twice":
        container[f"{key}2"] = old
        return f"{place} also as {key}2"
    other = pick(rng, list(container) if isinstance(container, dict) else range(len(container)))
    container[key], container[other] = container[other], old
    return f"{place} and {other} swapped"


def of_json(rng: Rng, raw: bytes) -> tuple[bytes, str]:
    """A change of a JSON text: of its values, its structure, or what no writer makes."""
    value = json.loads(raw)
    if not nodes(value) or rng.random() < 0.15:
        new, words = pick(rng, (
            (b"null", "null alone"), (b"[]", "an empty list alone"), (b"{}", "an empty object"),
            (b"7", "a number alone"), (b"[" * DEEP + b"]" * DEEP, f"{DEEP:,} nested lists alone"),
            (raw + b"}", "a bracket too many"), (b"\xef\xbb\xbf" + raw, "a byte order mark"),
            (raw.decode().encode("utf-16"), "in UTF-16"), (raw + raw, "the text twice")))
        return new, words
    if rng.random() < 0.2:
        container, key, place = pick(rng, nodes(value))
        old, container[key] = container[key], "\x01"
        new, what = pick(rng, (("[" * DEEP + "]" * DEEP, f"{DEEP:,} nested lists"),
                               ("9" * 5000, "a number of 5,000 digits")))
        if isinstance(container, dict) and rng.random() < 0.5:
            new = f"{json.dumps(old)}, {json.dumps(key)}: {json.dumps(pick(rng, HOSTILE))}"
            return (json.dumps(value).replace('"\\u0001"', new).encode(),
                    f"{place} there twice, with two values")
        return json.dumps(value).replace('"\\u0001"', new).encode(), f"{place} became {what}"
    words = change(rng, value)
    return json.dumps(value, indent=1).encode(), words


def changed(path: Path, change: Callable, rng: Rng) -> str:
    """Apply ``change(rng, bytes)`` to a file; its words, with the file's name."""
    raw, words = change(rng, path.read_bytes())
    path.write_bytes(raw)
    return f"{path.name}: {words}"


def elsewhere(rng: Rng, path: Path) -> str:
    """Take a file away, or put a folder or nothing in its place; says what."""
    kind = pick(rng, ("gone", "a folder", "empty"))
    path.unlink()
    if kind == "a folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    return f"{path.name} is {kind}"
