"""``python -m sim.fuzz -n 300``: random networks on random hardware against the integer network.

Shapes are of every kind of network in turn, or of those of ``--kind``. The cases of a shape share
one build: coefficients come over the configuration port. Every spike, signature, logit and
saturation count is compared and, where nothing stalls, the cycle of every result. Interrupt it and
call it again: it goes on. The first failing cases are made small and kept in ``--keep``; a test
replays all that are in tests/sim/regressions.
Exit code 1: a case failed; 2: a mistake of the user's; 130: interrupted.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from golden.base import cli, made
from golden.base.files import write_atomic
from golden.base.forms import amount, has, read, whole
from golden.base.options import add_build, positive
from sim import tools
from sim.fuzzing import draws, minimise, trial
from sim.fuzzing.case import FORM as CASE, Case
from sim.fuzzing.kinds import KINDS
from sim.journal import Journal
from sim.tools import SimError

REGRESSIONS = tools.ROOT / "tests" / "sim" / "regressions"
MINIMISE_SECONDS = 600
KEEP = 3                # failing cases of a run, at most


@dataclass(frozen=True)
class Group:
    """Cases 0 .. count - 1 of one shape of a fuzz run."""

    seed: int
    number: int
    count: int
    kind: str

    def cases(self) -> list[Case]:
        shape = draws.draw_shape(self.seed, self.number, self.kind)
        return [draws.draw_case(shape, self.seed, self.number, k) for k in range(self.count)]


def groups(n: int, seed: int, per_shape: int, kinds: list[str]) -> list[Group]:
    """``n`` cases of shapes of ``per_shape`` cases, the kinds in turn; the last may have fewer."""
    return [Group(seed, number, min(per_shape, n - start), kinds[number % len(kinds)])
            for number, start in enumerate(range(0, n, per_shape))]


def run_group(group: Group) -> dict:
    """A record for the journal: what the cases of a group showed."""
    begin = time.perf_counter()
    cases = group.cases()
    with tools.workspace(tools.build_folder("fuzz")) as work:
        outcomes = trial.run(cases[0].shape, cases, work)
    failed = [(case, outcome) for case, outcome in zip(cases, outcomes) if outcome.first]
    return {"number": group.number, "kind": group.kind, "cases": len(cases), "failed": [
                {"case": case.to_dict(), "first": outcome.first} for case, outcome in failed],
            "steps": sum(outcome.steps for outcome in outcomes),
            "spikes": sum(outcome.spikes for outcome in outcomes),
            "cycles": sum(outcome.cycles for outcome in outcomes),
            "timed": sum(not case.stall for case in cases),
            "alive": sum(outcome.alive for outcome in outcomes),
            "shape": cases[0].shape.summary, "seconds": time.perf_counter() - begin}


FORM = {name: whole() for name in ("number", "cases", "steps", "spikes", "cycles", "timed", "alive")
        } | {"kind": KINDS.__contains__, "failed": [{"case": dict, "first": str}], "shape": str,
             "seconds": amount, "commit": (str, None)}      # of a record in a journal
COUNTS = ("cases", "steps", "spikes", "cycles", "timed", "alive", "seconds")


def differences(cases: list[Case]) -> list[str | None]:
    """What fails in each of some cases of one shape, on the native simulation."""
    with tools.workspace(tools.build_folder("fuzz")) as work:
        return [outcome.first for outcome in trial.run(cases[0].shape, cases, work)]


def keep(case: Case, folder: Path, found: str) -> Path:
    """Make a failing case small and write it to ``folder``. Returns the file."""
    unbuilt = (differences([case])[0] or "").startswith(trial.UNBUILT)

    def failing(cases: list[Case]) -> Case | None:
        """In the same way: a core that cannot be built is another matter than a wrong one."""
        return next((one for one, first in zip(cases, differences(cases))
                     if first is not None and first.startswith(trial.UNBUILT) == unbuilt), None)
    small = minimise.minimise(case, failing, MINIMISE_SECONDS)
    slow = None if unbuilt or small.interrupt else trial.run_slowly(small).first
    text = json.dumps({"found": found, "first": differences([small])[0],
                       "simulator": "amaranth" if slow else "native", "case": small.to_dict()},
                      indent=1) + "\n"
    return write_atomic(folder / f"{tools.content_hash(text)}.json", text)


def replay(path: Path) -> str | None:
    """The difference that a kept case shows now, or None."""
    again = f"give a file of {REGRESSIONS.relative_to(tools.ROOT)}"
    row = read(path, again)
    try:
        wrong = not has(row, {"found": str, "first": (str, None), "simulator": str,
                              "case": CASE}) and "its form is another one"
        case = None if wrong else Case.from_dict(row["case"])
        wrong = wrong or case.broken_rule()
    except (ValueError, KeyError, TypeError) as error:
        wrong = repr(error)
    if wrong:
        raise SimError(f"{path} is not a kept case ({wrong}); {again}")
    slowly = row["simulator"] == "amaranth"
    return trial.run_slowly(case).first if slowly else differences([case])[0]


def main(argv: list[str] | None = None) -> int:
    args = _arguments(argv)
    return cli.code("sim.fuzz", lambda: run(args),
                    "interrupted; the same command goes on from here")


def run(args: argparse.Namespace) -> int:
    """Replay, or fuzz, report and print; 1 if a case fails."""
    if args.replay:
        found = replay(args.replay)
        print(found or "no difference")
        return int(found is not None)
    report = fuzz(args)
    text = json.dumps(report, indent=1) + "\n"
    for path in {args.report, tools.build_folder("fuzz", "report.json")} - {None}:
        write_atomic(path, text)
    for kind, row in report["by_kind"].items():
        print(f"{kind}: {row['cases']} cases, {row['spikes']:,} spikes, {row['failed']} failed")
    print(f"seed {report['seed']}: {report['cases']} cases of {report['shapes']} shapes, "
          f"{report['steps']:,} steps, {report['spikes']:,} spikes and {report['timed']} runs' "
          f"cycles compared, {report['seconds'] / 60:.1f} min: {len(report['failed'])} failed")
    for row in report["failed"]:
        print(f"sim.fuzz: {row['first']}", file=sys.stderr)
    return int(bool(report["failed"]))


def _arguments(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser("sim.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=positive, default=300, help="cases (default %(default)s)")
    parser.add_argument("--seed", type=positive, default=1, help="of the draws (default 1)")
    parser.add_argument("--kind", action="append", choices=KINDS, default=[],
                        help="of networks; may be given again (default: all of them in turn)")
    parser.add_argument("--per-shape", type=positive, default=25, metavar="M",
                        help="cases that share a build (default %(default)s)")
    parser.add_argument("--jobs", type=positive, default=tools.processors(), metavar="N",
                        help="shapes at once (default: one per processor, here %(default)s)")
    parser.add_argument("--report", type=Path, metavar="FILE",
                        help="also write the report there")
    add_build(parser)
    parser.add_argument("--keep", type=Path, metavar="FOLDER",
                        help="where failing cases are kept; default: build/sim/fuzz/failed")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one kept case")
    return parser.parse_args(argv)


def fuzz(args: argparse.Namespace) -> dict:
    """The whole run. Returns its report."""
    tools.verilator()
    kinds, sources = list(dict.fromkeys(args.kind)) or [*KINDS], made.by("comparison")
    every = groups(args.n, args.seed, args.per_shape, kinds)
    key = {"seed": args.seed, "per_shape": args.per_shape, "kinds": kinds, "sources": sources}
    folder = tools.build_folder("fuzz", "-".join([f"seed{args.seed}", *args.kind]))
    with Journal(folder, key, lambda record: has(record, FORM)) as journal:
        done = {row["number"]: row for row in journal.records}
        done = {group.number: done[group.number] for group in every
                if group.number in done and done[group.number]["cases"] == group.count}
        print(f"seed {args.seed}: {args.n} cases of {len(every)} shapes"
              + (f", {len(done)} shapes are done" if done else "")
              + (f"; {folder.parent} has those of other sources, of which nothing is taken"
                 if journal.others else "")
              + (f"; {journal.ignored} damaged lines are done again" if journal.ignored else ""),
              file=sys.stderr)
        run_groups(args, every, done, journal)
    return report_of(args, [done[number] for number in sorted(done)], kinds) | {
        "sources": sources}


def report_of(args: argparse.Namespace, rows: list[dict], kinds: list[str]) -> dict:
    """Of the groups' records, all together, by kind and by shape."""
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in kinds}
    return {"seed": args.seed, "per_shape": args.per_shape,
            "commit": made.commits(row["commit"] for row in rows),
            "date": time.strftime("%Y-%m-%d", time.gmtime()), **added(rows),
            "by_kind": {kind: added(own) | {"failed": sum(len(row["failed"]) for row in own)}
                        for kind, own in by_kind.items()},
            "failed": [found for row in rows for found in row["failed"]],
            "by_shape": [{name: row[name] for name in ("number", "kind", "shape", "cases", "alive")}
                         | {"failed": len(row["failed"])} for row in rows]}


def added(rows: list[dict]) -> dict:
    """How many groups, and the sums of their counts."""
    return {"shapes": len(rows)} | {name: sum(row[name] for row in rows) for name in COUNTS}


def run_groups(args: argparse.Namespace, every: list[Group], done: dict[int, dict],
               journal: Journal) -> None:
    """Run the groups that are not ``done``; add their records there and to the journal."""
    kept, commit = [], made.commit()
    given = "".join(f"--kind {kind} " for kind in args.kind)
    with tqdm(total=args.n, initial=sum(row["cases"] for row in done.values()), unit="case",
              disable=None, leave=False) as bar, ThreadPoolExecutor(args.jobs) as pool:
        waiting = [pool.submit(run_group, group) for group in every if group.number not in done]
        try:
            for future in as_completed(waiting):
                row = future.result() | {"commit": commit}
                if row["failed"] and len(kept) < KEEP:
                    worst = row["failed"][0]
                    tqdm.write(f"{row['shape']}: {worst['first']}; making it small ...",
                               file=sys.stderr)
                    kept.append(keep(
                        Case.from_dict(worst["case"]),
                        args.keep or tools.build_folder("fuzz", "failed"),
                        f"python -m sim.fuzz {given}--seed {args.seed}, shape {row['number']}"))
                    tqdm.write(f"kept in {kept[-1]}", file=sys.stderr)
                journal.add(row)
                done[row["number"]] = row
                bar.update(row["cases"])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


if __name__ == "__main__":
    sys.exit(main())
