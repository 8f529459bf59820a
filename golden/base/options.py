"""Command line options that several commands have, types of their values, and where things lie.

A type for argparse says in one line what is wrong with a value.
"""

import argparse
import math
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from golden.base.cli import UserError
from golden.base.names import slug

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "golden" / "checkpoints"       # trained networks, <task>[.<net>].pt
BUILD = "SPIKESSM_BUILD"                        # names the folder of everything that commands make


def build(*parts: str) -> Path:
    """A path below the folder of everything that commands make.

    It is ``--build``'s, else $SPIKESSM_BUILD, else ``build`` in the current folder; never beside
    the code, which may belong to somebody else.
    """
    return Path(os.environ.get(BUILD) or "build", *parts)


class _Build(argparse.Action):
    """Sets the variable, so that the programs that a command calls have the same folder."""

    def __call__(self, parser, namespace, value, option=None):
        if not value:
            parser.error(f"{option} needs the name of a folder")
        os.environ[BUILD] = os.path.abspath(value)


def add_build(parser: argparse.ArgumentParser) -> None:
    """``--build``, for a command that writes to :func:`build` or reads what another one wrote."""
    parser.add_argument("--build", action=_Build, metavar="DIR", default=argparse.SUPPRESS,
                        help=f"folder of everything that commands make; default: ${BUILD}, else "
                        "build in the current folder")


def artifact_of(task: str, net: str = "", sampling: str | None = None) -> Path:
    """Where the export of a task's network lies; ``sampling`` only where it was asked for."""
    return build("artifacts", ".".join(filter(None, (slug(task, net), sampling))))


def add_task(parser: argparse.ArgumentParser, required: bool = True, default: str = "") -> None:
    """``--task``; ``default`` says what is taken without it."""
    parser.add_argument("--task", required=required,
                        help="psmnist, digits, listops, ... (python -m golden.tasks lists them), "
                             f"or your own as module:Class{default and '; default: ' + default}")


def add_net(parser: argparse.ArgumentParser) -> None:
    """``--net``."""
    parser.add_argument("--net", default="", help="which of the networks shipped for the task; "
                        "default: the one without a name")


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """``--data-dir``."""
    parser.add_argument("--data-dir", metavar="DIR", help="folder with the data sets; default: "
                        "$SPIKESSM_DATA, else they are downloaded")


def add_artifact(parser: argparse.ArgumentParser, default: str = "") -> None:
    """``--artifact`` and ``--build``; the first is needed unless ``default`` says what else."""
    parser.add_argument("--artifact", type=Path, metavar="DIR", required=not default,
                        help="folder of an export" + f"; default: {default}" * bool(default))
    add_build(parser)


def add_artifact_or_task(parser: argparse.ArgumentParser) -> None:
    """``--build``, ``--net``, and ``--artifact`` or ``--task``."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--artifact", type=Path, metavar="DIR", help="folder of an export")
    which.add_argument("--task", help="that task's, build/artifacts/<task>[.<net>]; exported if it "
                       "is missing or was made from other files than now")
    add_net(parser)
    add_build(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``, for a command that trains."""
    import torch

    def device(text: str) -> torch.device:
        try:
            found = torch.device(text)
        except RuntimeError:
            found = None
        if found is None or found.type not in ("cpu", "cuda"):
            raise UserError(f"--device {text}: it must be cpu or cuda")
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if found.type == "cuda" and (found.index or 0) >= there:
            raise UserError(f"--device {text}: PyTorch sees no such device here; leave it out")
        return found
    parser.add_argument("--device", type=device, help="cpu or cuda; here: %(default)s",
                        default="cuda" if torch.cuda.is_available() else "cpu")


def add_threads(parser: argparse.ArgumentParser, default: int | None = None) -> None:
    """``--threads``; by default all of the processor's."""
    parser.add_argument("--threads", type=threads, default=default or os.cpu_count(),
                        help="processor threads; default: %(default)s")


def _number(convert: Callable, fits: Callable, kind: str) -> Callable:
    """The type of numbers that ``fits`` takes; ``kind`` says what another text is not."""
    def of(text: str):
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise argparse.ArgumentTypeError(f"{text!r} is {kind}")
        return value
    return of


THREADS = 1024      # of a processor, at most
DIGITS = 18         # of a whole number, at most: what 64 bits hold


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= DIGITS else -1


def _at_least(least: int) -> Callable:
    return _number(_whole, lambda n: n >= least, f"not a whole number of at least {least} and at "
                   f"most {DIGITS} digits")


positive, natural = _at_least(1), _at_least(0)
probability = _number(float, lambda p: 0 <= p < 1,
                      "not a probability: it must be at least 0 and below 1")
minutes = _number(float, lambda x: 0 <= x < math.inf, "not a number of minutes, 0 or more")
above_zero = _number(float, lambda x: 0 < x < math.inf, "not a number above 0")


def _exact(text: str) -> Fraction:
    return Fraction(text if text.replace(".", "", 1).isdecimal() and len(text) <= DIGITS else -1)


megahertz = _number(_exact, lambda f: f > 0, "not a number of MHz, such as 112.5")
threads = _number(_whole, lambda n: 1 <= n <= THREADS, f"not a number of threads, 1 to {THREADS}")


def numbers(text: str) -> list[int]:
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers; write it as "
                                         "17,4242")
    return [int(part) for part in text.split(",")]


def lanes_of(text: str) -> list[int]:
    try:
        return [positive(part.strip()) for part in text.split(",")]
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of lanes; write it as "
                                         "1,4,8,16") from None
