"""What the commands here share: exit codes, and one line on stderr for what a user can put right.

0: done. 1: an answer differs. 2: a mistake of the user's: an option, a file, a full disk.
3: a fault of ours, with a traceback. 130: interrupted.
"""

import codecs
import contextlib
import locale
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable

DIFFERENT, MISTAKE, FAULT, INTERRUPTED = 1, 2, 3, 130
AGAIN = 0.2             # seconds until an interrupt that was swallowed is raised again
_guarded = False        # whether this process is a command that guard() looks after


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
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(f"{name}: {interrupted}", file=sys.stderr)
        if _guarded:        # at once: no thread to wait for, no warnings of what is half made
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(INTERRUPTED)
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
    while its imports, which take seconds, are still to come. Texts are UTF-8 then whatever the
    locale, and an interrupt cannot get lost in a library.
    """
    if sys.argv[:1] != ["-m"]:
        return
    _in_utf8()
    global _guarded
    _guarded = True
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGALRM, _again)
    sys.unraisablehook = _unraisable
    words = sys.orig_argv
    name = words[words.index("-m") + 1] if "-m" in words[:-1] else "python"

    def hook(_, error, __):
        sys.exit(told(name, error))
    sys.excepthook = hook


def _in_utf8() -> None:
    """Start again with UTF-8 for files and programs, where the locale has another encoding.

    What is printed stays ASCII there; tables have lines of - and |.
    """
    if (codecs.lookup(locale.getpreferredencoding(False)).name == "utf-8"
            or os.environ.get("PYTHONUTF8") == "1"):
        return
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {
        "PYTHONUTF8": "1", "PYTHONIOENCODING": "ascii:backslashreplace"})


def _interrupt(*_) -> None:
    signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
    raise KeyboardInterrupt


def _again(*_) -> None:
    """Raise an interrupt once more, unless it is on its way and things are cleaned up."""
    error = sys.exception()
    while error:
        if isinstance(error, KeyboardInterrupt):
            return
        error = error.__context__
    raise KeyboardInterrupt


def _unraisable(args) -> None:
    """An interrupt in a callback comes again; the rest is printed as usual."""
    if not issubclass(args.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(args)


def console():
    """Where tables are printed: never narrower than 120, so that no number is cut in a pipe."""
    from rich.console import Console
    found = Console()
    return Console(width=120) if found.width < 120 else found
