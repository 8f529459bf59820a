"""What a campaign found."""

from dataclasses import dataclass, field
from pathlib import Path

from golden.base import made
from sim import tools
from sim.comparer import Part


@dataclass
class Report:
    """What a campaign found; ``cocotb`` is empty where that bench was left out."""

    parts: list[Part]       # in the order of the sequences
    sequences: int          # asked for; fewer are in the parts if a difference ended the campaign
    artifact: str
    lanes: int
    seed: int               # as of ``--seed``
    seconds: float          # simulation and comparison, interrupted runs included
    build_seconds: float
    build_cpu_seconds: float
    processes: int
    cocotb: dict = field(default_factory=dict)
    waves: Path | None = None
    master_seed: int = 0        # what ``seed`` becomes

    def total(self, name: str):
        return sum(getattr(part, name) for part in self.parts)

    @property
    def equal(self) -> bool:
        return self.first is None

    @property
    def complete(self) -> bool:
        return len(self.labels) == self.sequences

    @property
    def labels(self) -> list[int]:
        return [label for part in self.parts for label in part.labels]

    @property
    def classes(self) -> list[int]:
        """Of the examples: the hardware's labels, or what the head says of its sums."""
        return [label for part in self.parts for label in part.classes or part.labels]

    @property
    def examples(self) -> list[int]:
        """Places of the examples of ``classes``; with a gap where a difference ended the run."""
        found = []
        for part in self.parts:
            each = (part.stop - part.start) // len(part.classes or part.labels)
            found += range(part.start // each, part.stop // each)
        return found

    @property
    def first(self) -> str | None:
        """The first difference, of the native simulation before cocotb, or None."""
        found = [part.first for part in self.parts if part.first]
        if not found and self.cocotb and not self.cocotb["equal"]:
            found = [f"cocotb: {self.cocotb['first']}"]
        return found[0] if found else None

    @property
    def commit(self) -> str | None:
        """Of the sources that found the parts: several where other files changed in between."""
        return made.commits({part.commit for part in self.parts})

    @property
    def steps_per_second(self) -> float:
        return self.total("steps") / max(self.seconds, 1e-9)

    @property
    def memory(self) -> int:
        """Bytes at the peak: the simulations that ran at once, and this process."""
        largest = max((part.memory for part in self.parts), default=0)
        return self.processes * largest + tools.peak_memory()
