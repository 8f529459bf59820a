"""``python -m host.adapt --artifact A --like B --out C``: a network in another one's formats.

A bitstream takes networks of one shape, number formats included; a retrained network's export may
have chosen others. This writes network A with the formats of B, which the bitstream was built for:
every coefficient rounded (half to even) and saturated to B's. C is an artifact like any other, with
a reference of its own; evaluate it with ``python -m quant.evaluate --artifact C``.
"""

import argparse
import sys
from pathlib import Path

from golden.base import cli
from quant.integer import artifact
from quant.integer.adapt import adapt


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m host.adapt",
                                     description=__doc__.split("\n\n")[1])
    for name, text in (("artifact", "the network"), ("like", "the one with the formats to have"),
                       ("out", "folder to write")):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="DIR", help=text)
    args = parser.parse_args(argv)
    return cli.code("host.adapt", lambda: make(args))


def make(args: argparse.Namespace) -> None:
    """Write what the options say."""
    made, saturated = adapt(artifact.load(args.artifact), artifact.load(args.like))
    artifact.save(made, args.out)
    counts = ", ".join(f"{count} of {name}" for name, count in saturated.items())
    print(f"{args.out}: {artifact.digest(made)}; saturated: {counts or 'nothing'}")


if __name__ == "__main__":
    sys.exit(main())
