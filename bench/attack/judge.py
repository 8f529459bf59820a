"""One case: harm done, files read in a process of their own, and a verdict.

Each case has a forked process, so that whatever a reader does to itself ends there. The process
tells first what the harm was, then what came of it; it is ended when it takes too long or too much.
"""

import contextlib
import io
import os
import re
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from bench.attack.target import Harm, Target, difference, facts
from golden.base.cli import UserError

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MEMORY = 10.0, 2 << 30     # that a case may take
BACKSTOP = 8 << 30                  # of memory beyond what there is; no machine shall suffer
PASSED = ("refused", "harmless", "valid", "warned")
FAULT = "fault"
MARK = "code-ran"                   # the file that the planted module writes
PLANTED = f"import pathlib\npathlib.Path({MARK!r}).write_text('')\nclass Task: pass\n"


@dataclass
class Outcome:
    """What came of a case.

    verdict : refused, harmless, valid, or warned: another answer, but with a line on stderr that
    names the file; else silent, traceback, lines, code, time, memory, crash.
    where : whether a refusal names the file or its folder.
    """

    kind: str
    seed: int
    case: int
    target: str = ""
    harm: str = ""
    verdict: str = "crash"
    detail: str = ""
    where: bool = True
    seconds: float = 0.0
    memory: int = 0                 # bytes at the peak

    @property
    def passed(self) -> bool:
        return self.verdict in PASSED

    @property
    def fault(self) -> str:
        """The same for cases that got through in the same way."""
        begin = self.detail.split(": ")[0] if self.verdict == "traceback" else (
            self.detail.split(" was ")[0] if self.verdict == "silent" else "")
        return f"{self.target}: {self.verdict} {re.sub('[0-9]+', 'n', begin)}".strip()

    def to_dict(self) -> dict:
        command = f"python -m bench.attack --kind {self.kind} --case {self.case}"
        command += f" --seed {self.seed}" * (self.seed != 1)
        return asdict(self) | {"fault": self.fault, "command": command}


@dataclass
class Attack:
    """The targets of a kind, their unharmed files and what is read from them."""

    kind: str
    targets: list[Target]
    home: Path
    right: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def prepared(cls, kind: str, targets: list[Target], home: Path) -> "Attack":
        """Files are made below ``home``, and read once."""
        attack = cls(kind, targets, home)
        for k, target in enumerate(targets):
            (home / str(k)).mkdir()
            target.make(home / str(k))
            with _copy(home / str(k), home) as folder:
                attack.right.append(facts(target.read(folder)))
        return attack

    def draw(self, seed: int, case: int) -> tuple[int, np.random.Generator]:
        """The target of a case, and the generator of its harm."""
        rng = np.random.default_rng([seed, *self.kind.encode(), case])
        return int(rng.integers(len(self.targets))), rng


@contextlib.contextmanager
def _copy(files: Path, home: Path):
    """A new folder with the files in it, which is the working folder meanwhile."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(dir=home) as name:
        folder = Path(name) / "case"
        shutil.copytree(files, folder)
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def judged(target: Target, right: dict[str, str], harm: Harm, folder: Path) -> tuple:
    """(verdict, detail, whether a refusal says where) of reading harmed files."""
    printed, names = io.StringIO(), {path.name for path in folder.rglob("*")} | {folder.name}
    with (warnings.catch_warnings(record=True) as warned, contextlib.redirect_stderr(printed)):
        warnings.simplefilter("always")
        try:
            found = facts(target.read(folder))
        except (UserError, OSError) as error:
            said = str(error)
            if "\n" in said or not said.strip():
                return "lines", repr(said)[:300], True
            if warned:
                return "lines", f"warned: {warned[0].message} ... {said}"[:300], True
            return "refused", said[:300], any(name in said for name in names)
        except MemoryError:
            return "memory", "MemoryError", True
        except BaseException as error:
            return "traceback", _place(error) + " ".join(str(error).split())[:200], True
    different = difference(right, found)
    if not different:
        return "harmless", "", True
    warned = any(name in printed.getvalue() for name in names)
    verdict = "valid" if harm.free else "warned" if warned else "silent"
    return verdict, different[:300], True


def _place(error: BaseException) -> str:
    """Kind of an error and the last line of ours that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if ROOT in Path(frame.filename).parents] or frames
    return f"{type(error).__name__} in {Path(ours[-1].filename).name}, {ours[-1].name}: "


def _child(attack: Attack, seed: int, case: int, folder: Path, pipe: Connection) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    size = _pages(os.getpid())[0] * resource.getpagesize()
    for kind, most in ((resource.RLIMIT_AS, size + BACKSTOP), (resource.RLIMIT_FSIZE, BACKSTOP)):
        soft, hard = resource.getrlimit(kind)
        if soft == resource.RLIM_INFINITY or soft > most:
            resource.setrlimit(kind, (most, hard))
    number, rng = attack.draw(seed, case)
    target = attack.targets[number]
    shutil.copytree(attack.home / str(number), folder)
    os.chdir(folder.parent)
    Path("planted.py").write_text(PLANTED)
    harm = target.harm(rng, folder)
    pipe.send((target.name, harm.words))
    found = judged(target, attack.right[number], harm, folder)
    pipe.send(("code", "the planted module was imported", True) if Path(MARK).exists() else found)


def _pages(pid: int) -> list[int]:
    """Pages of a process: all of its address space, and those in memory."""
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/statm").read_text().split()[:2]]
    return [0, 0]


def _waits(pid: int) -> dict[str, float]:
    """Seconds that each thread of a process was ready to run while others ran."""
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            found[task.name] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return found


class Running:
    """A case on its way. Its seconds are by the clock, without those in which others ran.

    Of several threads that of the longest wait counts: the others wait for it.
    """

    def __init__(self, attack: Attack, seed: int, case: int):
        self.outcome = Outcome(attack.kind, seed, case)
        self.parent = Path(tempfile.mkdtemp(dir=attack.home))
        self.pipe, other = Pipe(duplex=False)
        self.began, self.waited, self.waits, self.harmed = 0.0, 0.0, {}, False
        self.pid = os.fork()
        if not self.pid:
            try:
                self.pipe.close()
                _child(attack, seed, case, self.parent / "case", other)
            except BaseException:       # a fault of the attack's own
                other.send((FAULT, traceback.format_exc()))
            finally:
                os._exit(0)
        other.close()

    def step(self) -> bool:
        """Take what the process says, or end it; whether it has ended."""
        try:
            while self.pipe.poll():
                said = self.pipe.recv()
                if said[0] == FAULT:
                    raise RuntimeError(f"case {self.outcome.case}: {said[1]}")
                if self.harmed:
                    self.outcome.verdict, self.outcome.detail, self.outcome.where = said
                    self._look()
                    return self._ended()
                self.outcome.target, self.outcome.harm = said
                self.began, self.waits, self.harmed = time.monotonic(), _waits(self.pid), True
        except EOFError:
            self.outcome.detail = "the process ended itself"
            return self._ended()
        if self.harmed:
            self._look()
            if self.outcome.seconds > SECONDS:
                self.outcome.verdict = "time"
            elif _pages(self.pid)[1] * resource.getpagesize() > MEMORY:
                self.outcome.verdict = "memory"
            else:
                return False
            os.kill(self.pid, signal.SIGKILL)
            return self._ended()
        return False

    def _look(self) -> None:
        """Take the time."""
        now = [seconds - self.waits.get(task, 0.0) for task, seconds in _waits(self.pid).items()]
        self.waited = max(self.waited, *now, 0.0)
        self.outcome.seconds = max(0.0, time.monotonic() - self.began - self.waited)

    def _ended(self) -> bool:
        self.pipe.close()
        _, status, used = os.wait4(self.pid, 0)
        self.outcome.memory = used.ru_maxrss * 1024
        if self.outcome.passed and self.outcome.memory > MEMORY:
            self.outcome.verdict = "memory"
        if self.outcome.verdict == "crash":
            self.outcome.detail += f", status {status}"
        shutil.rmtree(self.parent, ignore_errors=True)
        return True

    def stop(self) -> None:
        """End it, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._ended()
