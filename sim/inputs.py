"""What a campaign starts from: a task's test set and the artifact of the network for it."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from golden.base.options import (ARTIFACTS, add_artifact, add_data_dir, add_net, add_task, positive,
                                 probability)
from golden.tasks import slug
from quant import origin
from quant.integer import artifact, lfsr
from quant.integer.artifact import Artifact
from quant.evaluate import fits
from quant.integer.sampling import FORMS
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from sim.tools import SimError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose network and hardware."""
    add_task(parser)
    add_net(parser)
    parser.add_argument("--sampling", choices=FORMS,
                        help="how spikes are drawn; default: as the network was trained")
    parser.add_argument("--lanes", type=positive, default=HardwareConfig.lanes,
                        help="complex modes per cycle and layer (default %(default)s)")
    parser.add_argument("--seed", type=int, help="of the random words; default: the artifact's")
    parser.add_argument("--stall", type=probability, default=0.0, metavar="P",
                        help="hold both streams back in a cycle with this probability")
    add_artifact(parser, f"{ARTIFACTS}/<task>[.<net>], exported if it is missing or was "
                 "made from other files than now")
    add_data_dir(parser)


def load(args: argparse.Namespace, task) -> tuple[Artifact, HardwareConfig]:
    """Artifact (exported first where need be) and hardware of parsed options, checked."""
    if args.artifact and (args.net or args.sampling):
        raise SimError(f"--{'net' if args.net else 'sampling'} chooses what is exported; leave "
                       f"it or --artifact out")
    folder = args.artifact or ARTIFACTS / named(args)
    why = None if args.artifact else export_reason(args, folder)
    if why:
        export(args, folder, f"{why}: exporting ...")
    art = artifact.load(folder)
    fits(art, folder, task)
    hw = HardwareConfig(args.lanes)
    plan(art, hw)
    master_seed(args, art)
    return art, hw


def master_seed(args: argparse.Namespace, art: Artifact) -> int:
    """Of ``--seed``, or the artifact's own; ``UserError`` for a seed that there is not."""
    return art.seed if args.seed is None else lfsr.master_seed(art.random, args.seed)


def flat(indices: np.ndarray, art: Artifact) -> np.ndarray:
    """Numbers of the single sequences of some examples, as in ``Split.sequences``."""
    return (art.inputs * np.asarray(indices)[:, None] + np.arange(art.inputs)).ravel()


def named(args: argparse.Namespace) -> str:
    """The name of what the options choose, for files and folders."""
    return ".".join(filter(None, (slug(args.task, args.net), args.sampling)))


def options(args: argparse.Namespace) -> list[str]:
    """The options that choose the network, as given."""
    values = [(f"--{name}", getattr(args, name)) for name in ("task", "net", "sampling")]
    return [text for pair in values if pair[1] for text in pair]


def export_reason(args: argparse.Namespace, folder: Path) -> str | None:
    """Why the artifact of the options has to be exported, or None."""
    if not (folder / "manifest.json").exists():
        return f"no artifact in {folder}"
    return origin.stale(folder, slug(args.task, args.net), args.sampling)


def kept_options(folder: Path) -> list[str]:
    """Options of the export before, which a new one keeps; sampling is the command's own."""
    made = (origin.read(folder) or {"options": {}})["options"]
    words = []
    for name, value in made.items():
        if name != "sampling":
            words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return words


def export(args: argparse.Namespace, folder: Path, reason: str) -> None:
    given = [*options(args), *kept_options(folder), "--out", str(folder)]
    given += ["--data-dir", args.data_dir] if args.data_dir else []
    print(reason, file=sys.stderr)
    if subprocess.run([sys.executable, "-m", "quant.export", *given],
                      env=os.environ | {"PYTHONUNBUFFERED": "1"}).returncode:
        raise SimError(f"the export failed; see above, or run: python -m quant.export "
                       f"{' '.join(given)}")
