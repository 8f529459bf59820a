"""``python -m quant.upgrade --artifact DIR``: an artifact of an earlier version, written anew.

In files of schema 1 and 2 nothing shows that a manifest was edited. The network stays what it is,
digest included; look at what the command says of it before you trust it.
"""

import argparse
import shutil
import sys
from pathlib import Path

from golden.base import cli
from golden.base.options import add_artifact
from quant.integer import artifact


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("quant.upgrade", description=__doc__.splitlines()[0])
    add_artifact(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write; default: the "
                        "artifact's own, in place of what is there")
    args = parser.parse_args(argv)
    return cli.code("quant.upgrade", lambda: make(args))


def make(args: argparse.Namespace) -> None:
    """Write what the options say."""
    art = artifact.load(args.artifact)
    kept = args.artifact / artifact.VECTORS         # of the same network
    out = artifact.save(art, args.out or args.artifact,
                        lambda new: kept.is_file() and shutil.copy(kept, new))
    of = f", permutation {art.permutation}" if art.permutation else ""
    print(f"{out}: {artifact.digest(art)}, task {art.task}{of}: {len(art.blocks)} layers of "
          f"{art.H} neurons of {art.n} modes, {art.n_classes} classes, seed {art.seed}")


if __name__ == "__main__":
    sys.exit(main())
