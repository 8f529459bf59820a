"""The form of JSON values that were kept in a file: types, ranges, keys; nothing may surprise."""

import json
import math
from pathlib import Path

from golden.base.cli import UserError

LARGEST = 64 << 20      # bytes of a kept file that is read


def whole(low: int = 0, high: int = (1 << 63) - 1):
    """A form: whole numbers of a range; the default holds every count."""
    return lambda value: type(value) is int and low <= value <= high


def amount(value) -> bool:
    """A form: a finite number, 0 or more."""
    return type(value) in (int, float) and 0 <= value < math.inf


def has(value, form) -> bool:
    """Whether a JSON value has a form.

    A form is a type, None, a function that says so, a tuple of forms (one of them), ``[form]`` (a
    list of any length), or a dictionary: exactly these keys, each value of the form behind it.
    """
    if form is None:
        return value is None
    if isinstance(form, type):
        return type(value) is form
    if isinstance(form, tuple):
        return any(has(value, one) for one in form)
    if isinstance(form, list):
        return type(value) is list and all(has(item, form[0]) for item in value)
    if isinstance(form, dict):
        return (type(value) is dict and set(value) == set(form)
                and all(has(value[key], one) for key, one in form.items()))
    return bool(form(value))


def kept(path: Path, form):
    """The JSON value of a file, or None where there is none, it is damaged or of another form."""
    try:
        if path.stat().st_size <= LARGEST:
            value = parsed(path.read_bytes())
            return value if has(value, form) else None
    except (OSError, ValueError):
        pass
    return None


def parsed(text: str | bytes):
    """The JSON value of a text; ``ValueError`` for anything that is none, however deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read(path: Path, again: str):
    """The JSON value of a file that this project wrote; ``UserError`` ends with ``again``."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST >> 20} MiB")
        return parsed(path.read_bytes())
    except ValueError as error:     # of a decoder too
        raise UserError(f"{path} is damaged ({error}); {again}") from None
