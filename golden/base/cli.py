"""What the commands here share: exit codes, and one line on stderr for what a user can put right.

0: done. 1: an answer differs. 2: a mistake of the user's: an option, a file, a full disk.
3: a fault of ours, with a traceback. 130: interrupted.
"""

import sys
import traceback
from collections.abc import Callable, Iterable

DIFFERENT, MISTAKE, FAULT, INTERRUPTED = 1, 2, 3, 130


class UserError(Exception):
    """Something a user can put right; the message says what, where and how."""

    code = MISTAKE          # the exit code; another one where the error tells of something else


def differing(wanted: Iterable[str], found: Iterable[str]) -> str:
    """The first names that are missing and that are unknown, as a part of a message; "": none."""
    wanted, found = set(wanted), set(found)
    return "; ".join(f"{word} {', '.join(sorted(names)[:3])}{' ...' if len(names) > 3 else ''}"
                     for word, names in (("missing", wanted - found), ("unknown", found - wanted))
                     if names)


def told(name: str, error: BaseException, interrupted: str = "interrupted") -> int:
    """Print what ended command ``name``; returns the exit code for it.

    A :class:`UserError` becomes one line on stderr, and so does an ``OSError``: no space, no
    permission; it names the file itself. Anything else is a fault of the program's: a traceback.
    """
    if isinstance(error, KeyboardInterrupt):
        print(f"{name}: {interrupted}", file=sys.stderr)
        return INTERRUPTED
    if isinstance(error, MemoryError):
        error = UserError("there is not enough memory for this")
    if isinstance(error, UserError | OSError):
        print(f"{name}: {error}", file=sys.stderr)
        return getattr(error, "code", MISTAKE)
    traceback.print_exception(error)
    print(f"{name}: this is a fault of the program, not of your input; please report it with the "
          f"lines above", file=sys.stderr)
    return FAULT


def code(name: str, main: Callable[[], int | None], interrupted: str = "interrupted") -> int:
    """Exit code of ``main``: what it returns (None: 0), or what :func:`told` says of its end."""
    try:
        return main() or 0
    except (Exception, KeyboardInterrupt) as error:
        return told(name, error, interrupted)


def run(name: str, main: Callable[[], int | None]) -> None:
    """Call ``main`` and leave the program with its :func:`code` unless that is 0."""
    found = code(name, main)
    if found:
        sys.exit(found)


def guard() -> None:
    """Give the exit codes of :func:`told` to what happens outside of :func:`code` as well.

    For the first line of a package. It acts only where ``python -m`` runs a module of the package,
    while its imports, which take seconds, are still to come.
    """
    if sys.argv[:1] != ["-m"]:
        return
    words = sys.orig_argv
    name = words[words.index("-m") + 1] if "-m" in words[:-1] else "python"

    def hook(_, error, __):
        sys.exit(told(name, error))
    sys.excepthook = hook


def console():
    """Where tables are printed: never narrower than 120, so that no number is cut in a pipe."""
    from rich.console import Console
    found = Console()
    return Console(width=120) if found.width < 120 else found
