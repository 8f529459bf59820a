"""What came of an attack, as a record, a table, and the table of docs/attacks.md."""

import time
from collections import Counter

from bench.attack.judge import PASSED, Outcome
from bench.attack.target import KINDS
from golden.base import made

HEADS = ("files", "cases", "refused", "same", "valid", "warned", "through", "s", "MB")
MEANING = ("refused: in one line; same: no answer changed; valid: another answer, which the file "
           "means; warned: another answer, with a line on stderr; through: anything else; s, MB: "
           "of the slowest and of the largest case")


def line(outcome: Outcome) -> str:
    """One line on a case that got through."""
    return (f"{outcome.kind} {outcome.case}, {outcome.target}: {outcome.harm}: "
            f"{outcome.verdict.upper()} {outcome.detail}")


def faults(result: dict) -> str:
    """A line for each way in which cases got through, with the first of them."""
    found = {}
    for row in result["through"]:
        found.setdefault(row["fault"], []).append(row)
    return "\n".join(f"{len(rows)} x {fault}; first {rows[0]['kind']} {rows[0]['case']}: "
                     f"{rows[0]['harm']}" for fault, rows in found.items())


def whole(outcome: Outcome) -> str:
    """All that is known of one case."""
    where = "" if outcome.where else " (and does not say which file)"
    return (f"{outcome.kind} {outcome.case}\ntarget: {outcome.target}\nharm: {outcome.harm}\n"
            f"verdict: {outcome.verdict}{where}\n{outcome.detail}\n"
            f"{outcome.seconds:.2f} s, {outcome.memory >> 20} MB")


def _row(outcomes: list[Outcome]) -> dict:
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    return {"cases": len(outcomes), **{verdict: verdicts[verdict] for verdict in PASSED},
            "through": sum(not outcome.passed for outcome in outcomes),
            "unnamed": sum(not outcome.where for outcome in outcomes),
            "seconds": round(max(outcome.seconds for outcome in outcomes), 2),
            "memory_mb": max(outcome.memory for outcome in outcomes) >> 20}


def summary(outcomes: list[Outcome], n: int, seed: int, seconds: float) -> dict:
    """The record of a run: counts by kind and target, and every case that got through.

    ``unnamed`` counts refusals that do not say which file.
    """
    rows = {}
    for kind in KINDS:
        mine = [outcome for outcome in outcomes if outcome.kind == kind]
        if mine:
            rows[kind] = _row(mine) | {"targets": {
                name: _row([outcome for outcome in mine if outcome.target == name])
                for name in sorted({outcome.target for outcome in mine})}}
    return {"n": n, "seed": seed, "commit": made.commit(),
            "date": time.strftime("%Y-%m-%d", time.gmtime()), "seconds": round(seconds, 1),
            "kinds": rows,
            "through": [outcome.to_dict() for outcome in outcomes if not outcome.passed],
            "unnamed": [outcome.to_dict() for outcome in outcomes if not outcome.where]}


def cells(name: str, row: dict) -> list[str]:
    return [name, *(f"{row[key]:,}" for key in ("cases", *PASSED, "through")),
            f"{row['seconds']:.1f}", f"{row['memory_mb']:,}"]


def table(result: dict):
    """For the console: a row for each kind and each target."""
    from rich.table import Table
    shown = Table(title=f"{result['n']:,} cases of each kind, seed {result['seed']}, "
                       f"{result['seconds'] / 60:.1f} minutes", caption=MEANING)
    for head in HEADS:
        shown.add_column(head, justify="left" if head == "files" else "right",
                        no_wrap=True)
    for kind, row in result["kinds"].items():
        shown.add_row(*cells(kind, row), style="bold")
        for name, inner in row["targets"].items():
            shown.add_row(*cells(f"  {name}", inner))
        shown.add_section()
    return shown


def markdown(result: dict) -> str:
    """A row for each kind."""
    rows = [list(HEADS), ["---"] * len(HEADS),
            *(cells(kind, row) for kind, row in result["kinds"].items())]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def fill(page: str, result: dict) -> str:
    """A page with the table of a run, and how it was made, between its markers."""
    begin, end = "<!-- table: attack -->", "<!-- end -->"
    head, _, rest = page.partition(begin)
    said = (f"`make attack N={result['n']} SEED={result['seed']}`, {result['date']}, "
            f"commit {result['commit']}, {result['seconds'] / 60:.0f} minutes:")
    return f"{head}{begin}\n{said}\n\n{markdown(result)}\n{end}{rest.partition(end)[2]}"
