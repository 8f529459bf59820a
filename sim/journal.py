"""Records of a long run, one JSON line each, from which it goes on after an interruption."""

import json
import os
from pathlib import Path

from golden.base.files import write_atomic
from sim import tools


class Journal:
    """A file of records that belong to one ``key``; without a path nothing is kept.

    Until :meth:`close` the file is this journal's alone; another one that opens it raises
    ``SimError``. A file of another key is replaced by the first new record. Lines from the first
    one on that was cut off while it was written count as not there.

    Attributes
    ----------
    records : list of dict
        Of earlier runs with this key, then those added.
    replaces : bool
        There is a file, but of another key.
    """

    def __init__(self, path: Path | None, key: dict):
        self.path, self.key = path, key
        self._lock = tools.lock(path) if path else None
        found = self._lines()
        mine = bool(found) and found[0] == {"key": key}
        self.replaces = bool(found) and not mine
        self.records: list[dict] = found[1:] if mine else []
        self._appending = False

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Let others have the file."""
        if self._lock:
            self._lock.close()

    def _lines(self) -> list[dict]:
        found = []
        if self.path and self.path.exists():
            for line in self.path.read_bytes().splitlines(keepends=True):
                try:
                    record = json.loads(line)
                except ValueError:
                    break
                if line.endswith(b"\n"):
                    found.append(record)
        return found

    def add(self, record: dict) -> None:
        """Keep a record; it is on disk when this returns."""
        self.records.append(record)
        if self.path and self._appending:
            with open(self.path, "a") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        elif self.path:
            lines = [json.dumps(line) + "\n" for line in ({"key": self.key}, *self.records)]
            write_atomic(self.path, "".join(lines))
            self._appending = True
