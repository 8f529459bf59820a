"""Records of a long run, one JSON line each, from which it goes on after an interruption."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from golden.base import folders, forms
from golden.base.files import write_atomic


class Journal:
    """A file of records that belong to one ``key``; without a path nothing is kept.

    The key is everything that made the records. It is in the file's name, ``<path>.<hash>.jsonl``,
    so records of another key stay where they are, and are used again where that key comes back.
    Until :meth:`close` all files of ``path`` are this journal's alone; another one that opens it
    raises ``golden.base.folders.Busy``.

    Every line has a sum over key and record. A line without it, one that was cut off or edited, and
    one for which ``check(record)`` is False count as not there.

    Attributes
    ----------
    records : list of dict
        Of earlier runs with this key, then those added.
    ignored : int
        Lines that count as not there.
    others : int
        Files of other keys, if there is none of this one.
    """

    def __init__(self, path: Path | None, key: dict,
                 check: Callable[[dict], bool] = lambda record: True):
        self.key, self.records, self.ignored, self.others = key, [], 0, 0
        self._hash = hashlib.sha256(_text(key).encode()).hexdigest()
        self.path = path and path.with_name(f"{path.name}.{self._hash[:12]}.jsonl")
        self._held, self._appending = contextlib.ExitStack(), False
        if path:
            self._held.enter_context(folders.lock(path))
            self._read(check)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Let others have the file."""
        self._held.close()

    def _read(self, check: Callable[[dict], bool]) -> None:
        if not self.path.exists():
            stem = self.path.name.removesuffix(f".{self._hash[:12]}.jsonl")
            self.others = len(list(self.path.parent.glob(f"{stem}.*.jsonl")))
            return
        with open(self.path, "rb") as file:
            lines = file.read(forms.LARGEST).splitlines()
        for line in lines[1:]:          # the first is the key, for people
            try:
                found = forms.parsed(line)
                good = (forms.has(found, {"sum": str, "record": dict})
                        and found["sum"] == self._sum(found["record"]) and check(found["record"]))
            except ValueError:
                good = False
            if good:
                self.records.append(found["record"])
            self.ignored += not good

    def _sum(self, record: dict) -> str:
        return hashlib.sha256((self._hash + _text(record)).encode()).hexdigest()[:16]

    def _line(self, record: dict) -> str:
        return json.dumps({"sum": self._sum(record), "record": record}) + "\n"

    def add(self, record: dict) -> None:
        """Keep a record; it is on disk when this returns."""
        self.records.append(record)
        if self.path and self._appending:
            with open(self.path, "a") as file:
                file.write(self._line(record))
                file.flush()
                os.fsync(file.fileno())
        elif self.path:
            lines = map(self._line, self.records)
            write_atomic(self.path, "".join([json.dumps({"key": self.key}) + "\n", *lines]))
            self._appending = True


def _text(value: dict) -> str:
    return json.dumps(value, sort_keys=True)
