"""The network and the data that a command's options choose: shared by the analysis commands."""

import argparse
import os
from pathlib import Path

import numba
import torch

from golden import checkpoint, cli
from golden.tasks import SPLITS, Split, checked, make_task, slug, spec


def add_options(parser: argparse.ArgumentParser, n: int) -> None:
    """Options that choose a network and sequences of its task, ``n`` of them by default."""
    parser.add_argument("--task", help="default: the checkpoint's")
    parser.add_argument("--checkpoint", type=Path, help="a file; default: the one shipped")
    parser.add_argument("--data-dir", help="folder with data files; default $SPIKESSM_DATA, "
                        "else they are downloaded")
    parser.add_argument("--split", choices=SPLITS, default="val",
                        help="part of the data whose inputs are read; default val")
    parser.add_argument("-n", type=cli.positive, default=n,
                        help=f"the first N sequences; default {n}")
    parser.add_argument("--seed", type=int, default=0, help="of the samplers; default 0")
    parser.add_argument("--threads", type=cli.positive, default=os.cpu_count())


def load(args: argparse.Namespace, parser: argparse.ArgumentParser
         ) -> tuple[checkpoint.Checkpoint, Split, str]:
    """(network with its task, the whole split, a name for files) that the options say."""
    torch.set_num_threads(args.threads)
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    if not args.task and not args.checkpoint:
        parser.error("give --task, --checkpoint or both")
    found = checkpoint.load(args.checkpoint or args.task)
    if args.task and spec(make_task(args.task)) != spec(found.task):
        raise cli.UserError(f"{args.checkpoint} is a network for task {spec(found.task)}, "
                            f"not {args.task}")
    name = slug(found.task.name)
    if args.checkpoint and args.checkpoint.stem not in ("last", name):
        name += "-" + slug(args.checkpoint.stem)
    return found, checked(found.task.load(args.split, args.data_dir), found.task), name
