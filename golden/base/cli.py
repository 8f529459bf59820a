"""What the commands here share: a user's mistake is one line on stderr and exit code 2."""

import sys
from collections.abc import Callable, Iterable


class UserError(Exception):
    """Something a user can put right; the message says what, where and how."""


def differing(wanted: Iterable[str], found: Iterable[str]) -> str:
    """The first names that are missing and that are unknown, as a part of a message; "": none."""
    wanted, found = set(wanted), set(found)
    return "; ".join(f"{word} {', '.join(sorted(names)[:3])}{' ...' if len(names) > 3 else ''}"
                     for word, names in (("missing", wanted - found), ("unknown", found - wanted))
                     if names)


def code(name: str, main: Callable[[], int | None], interrupted: str = "interrupted") -> int:
    """Exit code of ``main``: what it returns (None: 0), 2 for a mistake, 130 for an interrupt.

    A :class:`UserError` becomes one line on stderr, and so does an ``OSError``: no space, no
    permission; it names the file itself. Anything else is a fault of the program's: a traceback.
    """
    try:
        return main() or 0
    except (UserError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: {interrupted}", file=sys.stderr)
        return 130


def run(name: str, main: Callable[[], int | None]) -> None:
    """Call ``main`` and leave the program with its :func:`code` unless that is 0."""
    found = code(name, main)
    if found:
        sys.exit(found)


def console():
    """Where tables are printed: never narrower than 120, so that no number is cut in a pipe."""
    from rich.console import Console
    found = Console()
    return Console(width=120) if found.width < 120 else found
