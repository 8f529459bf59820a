"""``python -m rtl.check --artifact DIR``: can hardware have this network, and with what.

One line that says what the network needs, or what the RTL lacks for it and what works. Nothing is
built. ``python -m quant.export --hardware`` asks it before it writes.
"""

import argparse
import sys

from golden.base import cli
from golden.base.options import add_artifact, add_task
from golden.tasks import make_task
from quant.integer import artifact
from rtl import products
from rtl.cycles import cycles_per_step
from rtl.parts.config import HardwareConfig, add_folded
from rtl.plan import chosen_lanes, plan


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("rtl.check", description=__doc__.split("\n\n")[1])
    add_artifact(parser)
    add_task(parser, required=False, default="none; it brings your own operations with it")
    parser.add_argument("--lanes", type=int, metavar="P",
                        help="complex modes per cycle and layer; default: the most that fit, up to "
                        f"{HardwareConfig.lanes}")
    add_folded(parser)
    args = parser.parse_args(argv)
    return cli.code("rtl.check", lambda: check(args))


def check(args: argparse.Namespace) -> None:
    """Say what the network needs; HardwareError: it cannot be."""
    if args.task:
        make_task(args.task)
    art = artifact.load(args.artifact)
    made = plan(art, HardwareConfig(chosen_lanes(art, args.lanes), folded=args.folded,
                                    longest=args.longest))
    print(f"{art.task}: {len(art.blocks)} layers of {art.H} neurons of {art.n} modes, "
          f"{made.geo.lanes} lanes: {cycles_per_step(made):g} cycles per step, "
          f"{products.multipliers(*made.parts)} multipliers, {products.others(*made.parts)} of "
          f"them not of lanes")


if __name__ == "__main__":
    sys.exit(main())
