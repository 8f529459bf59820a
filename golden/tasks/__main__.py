"""``python -m golden.tasks``: every task, what data is at hand, where to get the rest."""

import argparse
from pathlib import Path

from golden.tasks import data
from golden.base import cli
from golden.base.files import write_json
from golden.base.options import add_data_dir
from golden.tasks import TASKS, inputs_of, make_task

PUT = "DIR"         # stands for the data folder where none is given


def facts(name: str) -> dict:
    """What does not depend on the machine."""
    task = make_task(name)
    source = task.source
    original = source.forms[-1] if source.forms else ()
    step = f"tokens of {task.vocab}" if task.vocab else f"samples {task.sample_format}"
    inputs = inputs_of(task)
    return {"task": name, "n_classes": task.n_classes, "length": task.length,
            "input": step + f", {inputs} sequences" * (inputs > 1), "inputs": inputs,
            "licence": source.licence,
            "source": source.made or "downloaded at first use" * bool(source.files)
            or ("to be fetched by hand" if source.home else "no public home"),
            "home": source.home,
            "urls": [url for file in source.files for url in file.urls],
            "folder": source.folder, "forms": [list(form) for form in source.forms],
            "original": [f"{source.folder}/{name}" for name in original],
            "checksum": source.checksum,
            "stated": sorted({file.stated for file in source.files if file.stated})}


def here(name: str, data_dir) -> dict:
    """What is at hand: ``at_hand`` is a folder or None, ``put`` where files are to be put."""
    source = make_task(name).source
    found = source.at_hand(data_dir)
    chosen = data.folder(data_dir)
    if found:
        state = f"at hand: {found}"
    elif source.made:
        state = source.made
    else:
        state = "downloaded at first use" if source.files and not chosen else "missing"
    return {"at_hand": str(found) if found else None, "state": state,
            "missing": not found and not source.made,
            "put": str((chosen or Path(PUT)) / source.folder) if source.folder else None}


def show(rows: list[dict]) -> None:
    """The table, and below it what to do about what is missing."""
    from rich.table import Table
    console = cli.console()
    table = Table("task", "classes", "steps", "input", "data")
    for row in rows:
        table.add_row(row["task"], str(row["n_classes"]), f"{row['length']:,}", row["input"],
                      row["state"])
    console.print(table)
    missing = {}
    for row in rows:
        if row["missing"]:
            missing.setdefault((row["folder"], *row["original"]), []).append(row)
    for same in missing.values():
        row = same[0]
        print(f"\n{', '.join(row['task'] for row in same)}: not at hand, {row['checksum']}")
        print(f"  get  {', '.join(Path(name).name for name in row['original'])}")
        addresses = row["urls"] or [row["home"] or "nowhere public: docs/tasks.md says what it is"]
        if len(row["original"]) > 1:        # of several files the folders they are in
            addresses = dict.fromkeys(address.rsplit("/", 1)[0] + "/" for address in addresses)
        for k, address in enumerate(addresses):
            print(f"  {'from' if k == 0 else '  or'} {address}")
        print(f"  put  into {row['put']}")
    if missing:
        print(f"\n{PUT} is a folder of yours. " if any(row["put"] and row["put"].startswith(PUT)
                                                      for row in rows) else "\n", end="")
        print(f"The data folder is given by --data-dir or ${data.ENV}. Without one, files are "
              f"downloaded\nat first use and kept in {data.cache_folder()} (${data.CACHE_ENV}).")


def markdown() -> str:
    """The table of docs/tasks.md."""
    lines = ["| task | classes | steps | input | data | checksum | licence |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for row in map(facts, TASKS):
        home = f"[{row['source']}]({row['home']})" if row["home"] else row["source"]
        lines.append(f"| {row['task']} | {row['n_classes']} | {row['length']:,} | {row['input']} | "
                     f"{home} | {row['checksum'] or '-'} | {row['licence']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.tasks", description=__doc__.split("``: ")[1])
    add_data_dir(parser)
    parser.add_argument("--json", type=Path, help="write the list to this file too")
    parser.add_argument("--markdown", action="store_true",
                        help="print the table of docs/tasks.md, whatever is at hand")
    args = parser.parse_args()
    if args.markdown:
        print(markdown())
        return
    rows = [facts(name) | here(name, args.data_dir) for name in TASKS]
    show(rows)
    if args.json:
        write_json(args.json, rows)


if __name__ == "__main__":
    cli.run("golden.tasks", main)
