"""Random harm to every file that this project reads: ``python -m bench.attack`` (make attack).

``-n`` changes of each kind of file, drawn from ``--seed``: artifacts, checkpoints, files of the
released code, data files and caches, journals and kept results. Each must be refused in one line or
change no answer; a file that may mean what it says may also be valid. Never a traceback, more than
10 seconds or 2 GB. ``--kind KIND --case NUMBER`` repeats a single one and says what came of it.
Exit code 1: something got through.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("bench.attack")

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path

from tqdm import tqdm

from bench.attack import report
from bench.attack.judge import Attack, Outcome, Running
from bench.attack.target import KINDS, targets
from golden.base import cli
from golden.base.files import write_atomic, write_json
from golden.base.options import add_build, build, natural, positive

LOOK = 0.05             # seconds between two looks at what a case takes


def prepared(kind: str, home: Path) -> Attack:
    """The targets of a kind, with their files below ``home``; what making them prints is hushed."""
    hushed = io.StringIO()
    with contextlib.redirect_stderr(hushed), contextlib.redirect_stdout(hushed):
        return Attack.prepared(kind, targets(kind), home)


def run(attack: Attack, seed: int, cases: list[int], jobs: int = 1,
        progress=lambda outcome: None) -> list[Outcome]:
    """Outcomes of cases, in their order; ``progress(outcome)`` is called behind each."""
    waiting, running, done = iter(cases), [], []
    try:
        while True:
            while len(running) < jobs and (case := next(waiting, None)) is not None:
                running.append(Running(attack, seed, case))
            if not running:
                return sorted(done, key=lambda outcome: outcome.case)
            wait([one.pipe for one in running], LOOK)
            for one in [one for one in running if one.step()]:
                running.remove(one)
                done.append(one.outcome)
                progress(one.outcome)
    finally:
        for one in running:
            one.stop()


def attacked(kinds: list[str], args: argparse.Namespace) -> Iterator[list[Outcome]]:
    """The cases of a kind after the other; every new way to get through is printed when found."""
    cases = list(range(args.n)) if args.case is None else [args.case]
    seen = set()
    tqdm.monitor_interval = 0           # no thread beside the one that forks
    with (tempfile.TemporaryDirectory(prefix="attack-") as home,
          tqdm(total=len(kinds) * len(cases), unit="case", leave=False, disable=None) as bar):
        def progress(outcome: Outcome) -> None:
            bar.update()
            if not outcome.passed and outcome.fault not in seen:
                seen.add(outcome.fault)
                tqdm.write(report.line(outcome), file=sys.stderr)
        for kind in kinds:
            bar.set_description(f"preparing {kind}")
            (Path(home) / kind).mkdir()
            attack = prepared(kind, Path(home) / kind)
            bar.set_description(kind)
            yield run(attack, args.seed, cases, args.jobs, progress)


def main() -> int:
    parser = argparse.ArgumentParser("bench.attack", description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=positive, default=1000, help="cases of each kind; default: 1000")
    parser.add_argument("--seed", type=natural, default=1, help="of the draws; default: 1")
    parser.add_argument("--kind", action="append", choices=KINDS, help="default: all of them")
    parser.add_argument("--case", type=natural, help="only this one, of one --kind")
    parser.add_argument("--jobs", type=positive, default=len(os.sched_getaffinity(0)),
                        help="cases at once; default: one per processor, here %(default)s")
    parser.add_argument("--json", type=Path, help="file for the report; default: "
                        "build/attack/report.json")
    add_build(parser)
    parser.add_argument("--page", type=Path, help="also put the table into this page, such as "
                        "docs/attacks.md")
    args = parser.parse_args()
    kinds = list(dict.fromkeys(args.kind or KINDS))
    if args.case is not None and len(kinds) != 1:
        raise cli.UserError("--case is one of a kind: give --kind too")
    page = args.page and args.page.read_text()      # say now if there is none
    began, outcomes, path = time.monotonic(), [], args.json or build("attack", "report.json")
    for done in attacked(kinds, args):
        outcomes += done
        if args.case is None:               # a run that is stopped leaves what it has
            result = report.summary(outcomes, args.n, args.seed, time.monotonic() - began)
            write_json(path, result)
    if args.case is not None:
        print(report.whole(outcomes[0]))
    else:
        if args.page:
            write_atomic(args.page, report.fill(page, result))
        cli.console().print(report.table(result))
        print("\n".join(filter(None, (report.faults(result), str(path)))))
    return int(not all(outcome.passed for outcome in outcomes))


if __name__ == "__main__":
    cli.run("bench.attack", main)
