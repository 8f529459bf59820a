"""The artifact that a command's options choose, exported first where it is missing or old."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from golden.base import cli, options
from golden.base.cli import UserError
from golden.base.names import slug
from golden.tasks import make_task
from quant import origin
from quant.integer.sampling import FORMS


class ExportFailed(UserError):
    """The export of an artifact failed; it said why. Its exit code is the export's."""

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code if code in (cli.FAULT, cli.INTERRUPTED) else cli.MISTAKE


def chosen(args: argparse.Namespace) -> tuple[str, str, str | None]:
    """(task, net, sampling) of the options; also of a task written as its artifact's folder is.

    That is ``digits.small``, ``digits.small.sobol``: no name of a task itself has a dot.
    """
    task, net, sampling = args.task, getattr(args, "net", ""), getattr(args, "sampling", None)
    if ":" in task or net or sampling:
        return task, net, sampling
    task, *parts = task.split(".")
    if parts and parts[-1] in FORMS:
        sampling = parts.pop()
    return task, ".".join(parts), sampling


def folder(args: argparse.Namespace) -> Path:
    """Of ``--artifact``, else of ``--task``, ``--net`` and ``--sampling``; up to date then.

    Raises ``UserError`` where the task is unknown or the export fails.
    """
    if args.artifact:
        for name in ("net", "sampling"):
            if getattr(args, name, None):
                raise UserError(f"--{name} chooses what is exported; leave it or --artifact out")
        return args.artifact
    task, net, sampling = chosen(args)
    make_task(task)
    place = options.artifact_of(task, net, sampling)
    why = reason(place, task, net, sampling)
    if why:
        export(place, words(task, net, sampling), getattr(args, "data_dir", None), why)
    return place


def words(task: str, net: str, sampling: str | None) -> list[str]:
    """The options that choose a network."""
    values = (("--task", task), ("--net", net), ("--sampling", sampling))
    return [text for pair in values if pair[1] for text in pair]


def reason(place: Path, task: str, net: str = "", sampling: str | None = None) -> str | None:
    """Why an artifact has to be exported, or None."""
    if (place / "manifest.json").exists():
        return origin.stale(place, slug(task, net), sampling)
    if net or origin.shipped(slug(task)):
        return f"no artifact in {place}"
    raise UserError(f"no artifact in {place}, and no network is shipped for task {task}; make it "
                    f"with: python -m quant.export {' '.join(words(task, net, sampling))} "
                    f"--checkpoint {options.build('train', slug(task), 'best.pt')}")


def kept(place: Path) -> list[str]:
    """Options of the export before, which a new one keeps; sampling is the command's own."""
    if not (place / "manifest.json").exists():
        return []
    made, found = origin.read(place) or {"options": {}}, []
    for name, value in made["options"].items():
        if name not in origin.OPTIONS:      # a data file must not give a command other options
            raise UserError(f"{place} was exported with {name[:40]!r}, which is no option of "
                            f"quant.export now; export it again")
        if name != "sampling":
            found += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    for name, path in origin.own_files(place).items():
        found += [f"--{name}", str(path)]
    return found


def export(place: Path, which: list[str], data_dir: str | None, why: str) -> None:
    """Call ``quant.export``, after a line that says why."""
    given = [*which, *kept(place), "--out", str(place)]
    given += ["--data-dir", str(data_dir)] if data_dir else []
    print(f"{why}: exporting ...", file=sys.stderr)
    code = subprocess.run([sys.executable, "-m", "quant.export", *given],
                          env=os.environ | {"PYTHONUNBUFFERED": "1"}).returncode
    if code:
        raise ExportFailed(f"the export failed; see above, or run: python -m quant.export "
                           f"{' '.join(given)}", code)
