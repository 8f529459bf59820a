"""What a campaign starts from: a task's test set and the artifact of the network for it."""

import argparse

import numpy as np

from golden.base.options import (add_artifact, add_data_dir, add_net, add_task, positive,
                                 probability)
from golden.tasks import slug
from quant import current
from quant.integer import artifact, lfsr
from quant.integer.artifact import Artifact
from quant.evaluate import fits
from quant.integer.sampling import FORMS
from rtl.parts.config import HardwareConfig, add_hardware, with_options
from rtl.plan import chosen_lanes, plan


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose network and hardware."""
    add_task(parser)
    add_net(parser)
    parser.add_argument("--sampling", choices=FORMS,
                        help="how spikes are drawn; default: as the network was trained")
    parser.add_argument("--lanes", type=positive, metavar="P",
                        help="complex modes per cycle and layer; default: the most up to "
                        f"{HardwareConfig.lanes} that fit")
    add_hardware(parser)
    parser.add_argument("--seed", type=int, help="of the random words; default: the artifact's")
    parser.add_argument("--stall", type=probability, default=0.0, metavar="P",
                        help="hold both streams back in a cycle with this probability")
    add_artifact(parser, "build/artifacts/<task>[.<net>], exported if it is missing or was "
                 "made from other files than now")
    add_data_dir(parser)


def network(args: argparse.Namespace, task) -> Artifact:
    """The artifact of parsed options, exported first where need be, for hardware and the task."""
    folder = current.folder(args)
    art = artifact.load(folder)
    fits(art, folder, task)
    plan(art, HardwareConfig(1))
    master_seed(args, art)
    return art


def load(args: argparse.Namespace, task) -> tuple[Artifact, HardwareConfig]:
    """:func:`network`, and the hardware of the options."""
    art = network(args, task)
    hw = with_options(chosen_lanes(art, args.lanes), args)
    plan(art, hw)
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
    return current.words(args.task, args.net, args.sampling)
