"""The list of trainings that ``bench.queue`` works through, and where each one stands.

The file is TOML::

    folder = "build/queue"      # optional; each training has a folder of its own in it
    kept = "bench/kept"         # optional: what `bench.queue --keep` keeps, to go on elsewhere
    jobs = 2                    # side by side
    threads = 1                 # of each
    nice = 19                   # priority of each, from 0 to the lowest, 19

    [[training]]
    name = "pathfinder-9"
    task = "pathfinder:9"
    recipe = "pathfinder"       # golden/recipes, or a TOML file
    seed = 0                    # optional, as are epochs and batch
    after = "pathfinder-6"      # optional: starts from the best weights of that one
"""

import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from pathlib import Path

from rich.table import Table

from golden.base import cli, forms
from golden.base.files import write_all_atomic
from golden.base.options import build

BEST, LAST, LOG = "best.pt", "last.pt", "log.jsonl"
KEPT_BYTES = 2_000_000      # of a file that is kept; a larger one does not belong in a repository
LINE = {        # of a log: the keys that are read here, and the form of each
    "recipe": lambda recipe: type(recipe) is dict and forms.whole(1)(recipe.get("epochs")),
    "resumed_at": forms.whole(), "epoch": forms.whole(1), "val_accuracy": forms.amount,
    "cpu_seconds": forms.amount, "seconds": forms.amount}
LEAST = {"seed": 0, "nice": 0, "epochs": 1, "batch": 1, "jobs": 1, "threads": 1}   # of numbers


@dataclass(frozen=True)
class Training:
    """One entry of the list; empty or None: the recipe's own."""

    name: str
    task: str
    recipe: str = ""
    seed: int | None = None
    epochs: int | None = None
    batch: int | None = None
    after: str = ""

    def options(self, queue: "Queue") -> list[str]:
        """Of ``golden.train``."""
        given = {"task": self.task, "recipe": self.recipe, "seed": self.seed,
                 "epochs": self.epochs, "batch": self.batch,
                 "start": self.after and queue.out(queue.named(self.after)) / BEST}
        return [text for name, value in given.items() if value not in ("", None)
                for text in (f"--{name}", str(value))]


@dataclass(frozen=True)
class Standing:
    """How far a training is: ``epoch`` of ``epochs`` are complete, None before the first line of
    its log; ``best`` is its best accuracy on validation sequences, hours those of the processor in
    its epochs (by the clock, where the log says no more)."""

    epoch: int | None = None
    epochs: int | None = None
    best: float | None = None
    last: float | None = None
    hours: float = 0.0

    @property
    def done(self) -> bool:
        return self.epoch is not None and self.epoch == self.epochs


@dataclass(frozen=True)
class Queue:
    """A whole list; ``only`` names those that are wanted, empty: all."""

    trainings: tuple[Training, ...]
    folder: Path
    jobs: int = 2
    threads: int = 1
    nice: int = 19
    only: tuple[str, ...] = ()
    kept: str = ""

    @property
    def wanted(self) -> list[Training]:
        return [t for t in self.trainings if not self.only or t.name in self.only]

    def named(self, name: str) -> Training:
        return next(t for t in self.trainings if t.name == name)

    def out(self, training: Training) -> Path:
        return self.folder / training.name

    def keep(self) -> list[str]:
        """Copy what every training needs to go on into ``kept``; returns the names of those kept.

        A file above ``KEPT_BYTES`` is refused by name before anything is copied.
        """
        if not self.kept:
            raise cli.UserError('the list names no folder to keep trainings in; add kept = "..."')
        found = {t.name: self._files(self.out(t)) for t in self.wanted}
        found = {name: files for name, files in found.items() if LAST in files}
        for name, files in found.items():
            for file, content in files.items():
                if len(content) > KEPT_BYTES:
                    raise cli.UserError(
                        f"{self.folder / name / file} has {len(content)} bytes, at most "
                        f"{KEPT_BYTES} are kept; leave its training out, naming the others "
                        f"with --only")
        for name, files in found.items():
            write_all_atomic(Path(self.kept) / name, files)
        return list(found)

    def restore(self, training: Training) -> bool:
        """Bring a training back that is not here but was kept; whether it was."""
        kept, out = Path(self.kept) / training.name, self.out(training)
        if not self.kept or (out / LAST).exists() or not (kept / LAST).exists():
            return False
        write_all_atomic(out, self._files(kept))
        return True

    @staticmethod
    def _files(folder: Path) -> dict[str, bytes]:
        """What a training needs to go on; ``last.pt`` last, with which it is there."""
        return {name: (folder / name).read_bytes() for name in (BEST, LOG, LAST)
                if (folder / name).exists()}

    def standing(self, training: Training) -> Standing:
        """From the log; a line that was cut off or damaged does not count."""
        path, found = self.out(training) / LOG, Standing()
        for line in path.read_bytes().splitlines() if path.exists() else ():
            content = _line(line)
            if "recipe" in content:             # a (new) beginning of this training
                begun = Standing(content.get("resumed_at", 0), content["recipe"]["epochs"])
                found = begun if not begun.epoch else replace(found, epochs=begun.epochs)
            elif "epoch" in content and "val_accuracy" in content and found.epochs:
                accuracy = content["val_accuracy"]
                found = replace(found, epoch=content["epoch"], last=accuracy,
                                best=max(accuracy, found.best or 0.0),
                                hours=found.hours + content.get(
                                    "cpu_seconds", content.get("seconds", 0)) / 3600)
        return found

    def ready(self, running: Collection[str], failed: Collection[str]) -> list[Training]:
        """What can begin or go on now, in the order of the list."""
        return [t for t in self.wanted
                if t.name not in running and t.name not in failed and not self.standing(t).done
                and (not t.after or self.standing(self.named(t.after)).done)]


def _line(text: bytes) -> dict:
    """What a line of a log says by the keys of ``LINE``; nothing where one has another form."""
    try:
        content = forms.parsed(text)
    except ValueError:                          # of a decoder too
        return {}
    known = {key: content[key] for key in LINE if key in content} if type(content) is dict else {}
    return known if all(forms.has(value, LINE[key]) for key, value in known.items()) else {}


def _entry(where: str, cls, values: dict):
    """``cls`` of a table of the file, its keys and types checked."""
    known = [f.name for f in fields(cls) if f.name not in ("trainings", "only")]
    for key, value in values.items():
        if key not in known:
            raise cli.UserError(f"{where}: {key} is unknown; known: {', '.join(known)}")
        least = LEAST.get(key)
        if type(value) is not (str if least is None else int) or least and value < least:
            what = "text" if least is None else f"whole number of at least {least}"
            raise cli.UserError(f"{where}: {key} must be a {what}, not {value!r}")
    return values


def read(path: Path, jobs: int | None = None, only: list[str] | None = None) -> Queue:
    """The list in a file; ``jobs`` and ``only`` change how many and which.

    Raises ``UserError`` for a file that is missing or no such list, naming the entry.
    """
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise cli.UserError(f"{path} does not exist; bench/trainings.toml is an example") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise cli.UserError(f"{path} is not a TOML file: {error}") from None
    entries = content.pop("training", [])
    if not isinstance(entries, list) or not entries or any(type(e) is not dict for e in entries):
        raise cli.UserError(f"{path} has no [[training]]")
    whole = _entry(str(path), Queue, content)
    trainings = []
    for number, values in enumerate(entries):
        where = f"{path}, training {values.get('name', number)}"
        values = _entry(where, Training, values)
        for key in ("name", "task"):
            if not values.get(key):
                raise cli.UserError(f"{where}: {key} is missing")
        training = Training(**values)
        earlier = [t.name for t in trainings]
        if not re.fullmatch(r"[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*", training.name):
            raise cli.UserError(f"{where}: a name is made of letters, digits, _, - and .")
        if training.name in earlier:
            raise cli.UserError(f"{where}: two trainings have this name")
        if training.after and training.after not in earlier:
            raise cli.UserError(f"{where}: after names {training.after}, which is not in the list "
                                f"before it")
        trainings.append(training)
    for name in only or ():
        if name not in [t.name for t in trainings]:
            raise cli.UserError(f"{path} has no training {name}; it has "
                                f"{', '.join(t.name for t in trainings)}")
    found = Queue(tuple(trainings), Path(whole.pop("folder", build("queue"))), **whole)
    return replace(found, only=tuple(only or ()), jobs=jobs or found.jobs)


def table(queue: Queue, failed: dict[str, str]) -> Table:
    """Where each training stands."""
    made = Table(title=f"{queue.folder}, {queue.jobs} side by side")
    for name in ("training", "task", "epochs", "last %", "best %", "hours", "state"):
        made.add_column(name, justify="left" if name in ("training", "task", "state") else "right")
    hours = 0.0
    for training in queue.wanted:
        s = queue.standing(training)
        hours += s.hours
        state = ("failed" if training.name in failed else "done" if s.done else
                 "waits" if s.epoch is None else "to go on")
        made.add_row(training.name, training.task,
                     "" if s.epoch is None else f"{s.epoch} of {s.epochs}",
                     *("" if x is None else f"{100 * x:.2f}" for x in (s.last, s.best)),
                     f"{s.hours:.2f}", state)
    made.add_section()
    made.add_row("all", "", "", "", "", f"{hours:.2f}", "")
    return made
