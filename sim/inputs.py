"""What a campaign starts from: a task's test set and the artifact of the network for it."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from golden import tasks
from golden.data import DataError
from golden.tasks import TaskError, inputs_of, slug
from quant import artifact
from quant.artifact import Artifact, ArtifactError
from quant.sampling import FORMS
from rtl.config import HardwareConfig, HardwareError
from rtl.plan import plan
from sim.options import positive, probability
from sim.tools import SimError

ARTIFACTS = Path("build/artifacts")
CHECKPOINTS = Path(tasks.__file__).parents[1] / "checkpoints"
MISTAKES = (ArtifactError, DataError, HardwareError, SimError, TaskError, OSError)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose network and hardware."""
    parser.add_argument("--task", required=True, help="digits, psmnist, listops, or module:Class")
    parser.add_argument("--net", default="", help="which of the networks shipped for the task; "
                        "default: the one without a name")
    parser.add_argument("--sampling", choices=FORMS,
                        help="how spikes are drawn; default: as the network was trained")
    parser.add_argument("--lanes", type=positive, default=HardwareConfig.lanes,
                        help="complex modes per cycle and layer (default %(default)s)")
    parser.add_argument("--seed", type=int, help="master seed; default: the artifact's")
    parser.add_argument("--stall", type=probability, default=0.0, metavar="P",
                        help="hold both streams back in a cycle with this probability")
    parser.add_argument("--artifact", type=Path, metavar="DIR",
                        help="default: build/artifacts/<task>[.<net>], exported if it is missing "
                             "or older than the shipped network")
    parser.add_argument("--data-dir", metavar="DIR",
                        help="folder with the data sets; default $SPIKESSM_DATA")


def load(args: argparse.Namespace, task) -> tuple[Artifact, HardwareConfig]:
    """Artifact (exported first where need be) and hardware of parsed options, checked."""
    if args.artifact and (args.net or args.sampling):
        raise SimError(f"--{'net' if args.net else 'sampling'} chooses what is exported; leave it or "
                       f"--artifact out")
    folder = args.artifact or ARTIFACTS / named(args)
    why = None if args.artifact else export_reason(folder, slug(args.task, args.net))
    if why:
        export(args, folder, f"{why}: exporting ...")
    art = artifact.load(folder)
    for what, have, want in (("vocabulary", art.vocab, task.vocab),
                             ("number of classes", art.n_classes, task.n_classes),
                             ("number of inputs", art.inputs, inputs_of(task)),
                             ("sample format", art.edge.sample, task.sample_format)):
        if have != want:
            raise SimError(f"{folder} is not for task {args.task}: its {what} is {have}, the "
                           f"task's {want}; give another --artifact")
    if art.length < task.length:
        raise SimError(f"{folder} takes {art.length} steps, task {args.task} has up to "
                       f"{task.length}; give another --artifact")
    hw = HardwareConfig(args.lanes)
    plan(art, hw)
    limit = 1 << art.random.width
    if args.seed is not None and not 0 < args.seed < limit:
        raise SimError(f"--seed {args.seed}: allowed are 1..{limit - 1}")
    return art, hw


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


def export_reason(folder: Path, network: str) -> str | None:
    """Why the artifact of a shipped network has to be exported, or None."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return f"no artifact in {folder}"
    made = manifest.stat().st_mtime
    for path in (CHECKPOINTS / f"{network}{end}" for end in (".pt", ".qat.pt")):
        if path.exists() and path.stat().st_mtime > made:
            return f"{folder} is older than the shipped {path.name}"
    return None


def export(args: argparse.Namespace, folder: Path, reason: str) -> None:
    given = [*options(args), "--out", str(folder)]
    given += ["--data-dir", args.data_dir] if args.data_dir else []
    print(reason, file=sys.stderr)
    if subprocess.run([sys.executable, "-m", "quant.export", *given],
                      env=os.environ | {"PYTHONUNBUFFERED": "1"}).returncode:
        raise SimError(f"the export failed; see above, or run: python -m quant.export "
                       f"{' '.join(given)}")
