"""What a campaign starts from: a task's test set and the artifact of the network for it."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from golden import tasks
from golden.data import DataError
from golden.tasks import TaskError, slug
from quant import artifact
from quant.artifact import Artifact, ArtifactError
from rtl.config import Geometry, HardwareConfig, HardwareError
from sim.options import positive, probability
from sim.tools import SimError

ARTIFACTS = Path("build/artifacts")
CHECKPOINTS = Path(tasks.__file__).parents[1] / "checkpoints"
MISTAKES = (ArtifactError, DataError, HardwareError, SimError, TaskError, OSError)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose network and hardware."""
    parser.add_argument("--task", required=True, help="digits, psmnist, listops, or module:Class")
    parser.add_argument("--lanes", type=positive, default=HardwareConfig.lanes,
                        help="complex modes per cycle and layer (default %(default)s)")
    parser.add_argument("--seed", type=int, help="master seed; default: the artifact's")
    parser.add_argument("--stall", type=probability, default=0.0, metavar="P",
                        help="hold both streams back in a cycle with this probability")
    parser.add_argument("--artifact", type=Path, metavar="DIR",
                        help="default: build/artifacts/<task>, exported if it is missing or older "
                             "than the shipped network")
    parser.add_argument("--data-dir", metavar="DIR",
                        help="folder with the data sets; default $SPIKESSM_DATA")


def load(args: argparse.Namespace, task) -> tuple[Artifact, HardwareConfig]:
    """Artifact (exported first where need be) and hardware of parsed options, checked."""
    folder = args.artifact or ARTIFACTS / slug(args.task)
    why = None if args.artifact else export_reason(folder, args.task)
    if why:
        export(args, f"{why}: exporting ...")
    art = artifact.load(folder)
    for what, have, want in (("vocabulary", art.vocab, task.vocab),
                             ("number of classes", art.n_classes, task.n_classes),
                             ("sample format", art.edge.sample, task.sample_format)):
        if have != want:
            raise SimError(f"{folder} is not for task {args.task}: its {what} is {have}, the "
                           f"task's {want}; give another --artifact")
    if art.length < task.length:
        raise SimError(f"{folder} takes {art.length} steps, task {args.task} has up to "
                       f"{task.length}; give another --artifact")
    hw = HardwareConfig(args.lanes)
    Geometry.of(art, hw)
    limit = 1 << art.random.width
    if args.seed is not None and not 0 < args.seed < limit:
        raise SimError(f"--seed {args.seed}: allowed are 1..{limit - 1}")
    return art, hw


def export_reason(folder: Path, task: str) -> str | None:
    """Why the default artifact of a task has to be exported, or None."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return f"no artifact in {folder}"
    made = manifest.stat().st_mtime
    for path in sorted(CHECKPOINTS.glob(f"{slug(task)}.*pt")):
        if path.stat().st_mtime > made:
            return f"{folder} is older than the shipped {path.name}"
    return None


def export(args: argparse.Namespace, reason: str) -> None:
    command = [sys.executable, "-m", "quant.export", "--task", args.task]
    command += ["--data-dir", args.data_dir] if args.data_dir else []
    print(reason, file=sys.stderr)
    if subprocess.run(command, env=os.environ | {"PYTHONUNBUFFERED": "1"}).returncode:
        raise SimError(f"the export failed; see above, or run: python -m quant.export --task "
                       f"{args.task}")
