"""The network and the data that a command's options choose: shared by the analysis commands."""

import argparse
from pathlib import Path

import numba
import torch

from golden import checkpoint
from golden.base.options import add_data_dir, add_net, add_task, add_threads, positive
from golden.tasks import SPLITS, Split, checked, slug, spec


def add_options(parser: argparse.ArgumentParser, n: int | None, split: str = "val") -> None:
    """Options that choose a network and sequences of its task, by default ``n`` (None: all)."""
    add_task(parser, required=False, default="the checkpoint's")
    add_net(parser)
    parser.add_argument("--checkpoint", type=Path, help="a file; default: the one shipped")
    add_data_dir(parser)
    parser.add_argument("--split", choices=SPLITS, default=split,
                        help="part of the data whose inputs are read; default %(default)s")
    parser.add_argument("-n", type=positive, default=n,
                        help=f"the first N sequences; default {n or 'all'}")
    add_threads(parser)


def load(args: argparse.Namespace, parser: argparse.ArgumentParser
         ) -> tuple[checkpoint.Checkpoint, Split, str]:
    """(network with its task, the whole split, a name for files) that the options say."""
    torch.set_num_threads(args.threads)
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    if not args.task and not args.checkpoint:
        parser.error("give --task, --checkpoint or both")
    found = checkpoint.load(args.checkpoint or args.task, args.net, args.task or "")
    checkpoint.of_task(found, args.task, args.checkpoint)
    name = slug(spec(found.task), args.net)
    if args.checkpoint and args.checkpoint.stem not in ("last", name):
        name += "-" + slug(args.checkpoint.stem)
    return found, checked(found.task.load(args.split, args.data_dir), found.task), name
