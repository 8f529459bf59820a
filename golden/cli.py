"""What the commands here share: a user's mistake is one line on stderr and exit code 2."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


class UserError(Exception):
    """Something a user can put right; the message says what, where and how."""


def run(name: str, main: Callable[[], None]) -> None:
    """Call ``main``; turn a :class:`UserError` into one line, an interrupt into exit code 130."""
    try:
        main()
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:          # no space, no permission: it names the file itself
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(130)


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def write_text(path: Path, text: str) -> None:
    """Write under a temporary name, then rename."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
