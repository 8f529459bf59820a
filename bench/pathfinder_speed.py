"""How fast Pathfinder's pictures are generated: ``python -m bench.pathfinder_speed``.

Prints pictures per second of CPU time for each size and contour length, without the compilation.
Threads generate blocks side by side, so on N idle cores a data set takes 1 / N of the time.
"""

import argparse
import time

from golden.base import cli
from golden.base.options import positive
from golden.tasks.pathfinder_rules import pictures, rules32, rules128


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.pathfinder_speed",
                                     description=__doc__.split(":")[0])
    parser.add_argument("--seconds", type=positive, default=5,
                        help="of each measurement, about; default %(default)s")
    args = parser.parse_args()
    print("| pictures | pictures per CPU second | tries at the contours | segments |\n"
          "| --- | --- | --- | --- |")
    for rules in (rules32(14), rules32(9), rules32(6), rules128(14), rules128(9), rules128(6)):
        pictures(rules, 0, 2)
        n, spent, tries, segments = 0, 0.0, 0, 0
        while spent < args.seconds:
            start = time.process_time()
            made = pictures(rules, 1 + n, 20)
            spent += time.process_time() - start
            n += 20
            tries, segments = tries + made["tries"].sum(), segments + made["counts"].sum()
        print(f"| {rules.size} x {rules.size}, {rules.contour} segments | {n / spent:,.0f} | "
              f"{tries / n:.1f} | {segments / n:.1f} |")


if __name__ == "__main__":
    cli.run("bench.pathfinder_speed", main)
