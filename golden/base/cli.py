"""What the commands here share: a user's mistake is one line on stderr and exit code 2."""

import argparse
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something a user can put right; the message says what, where and how."""


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


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def natural(text: str) -> int:
    """A whole number of at least 0, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Give a command that trains ``--device``."""
    import torch

    def device(text: str) -> torch.device:
        if text.startswith("cuda") and not torch.cuda.is_available():
            raise UserError(f"--device {text}: PyTorch sees no such device here; leave it out")
        if text.split(":")[0] not in ("cpu", "cuda"):
            raise UserError(f"--device {text}: there are cpu and cuda")
        return torch.device(text)
    parser.add_argument("--device", type=device, help="cpu or cuda; here: %(default)s",
                        default="cuda" if torch.cuda.is_available() else "cpu")


def console():
    """Where tables are printed: never narrower than 120, so that no number is cut in a pipe."""
    from rich.console import Console
    found = Console()
    return Console(width=120) if found.width < 120 else found
