"""Whatever talks at the port: one line within five seconds, exit code 2, and no busy core."""

import os
import re
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from golden.base import cli
from host import __main__ as program
from host.watch import PATIENCE
from quant.integer import artifact
from tests.host.devices import ART, LIMIT, Device, PretendBoard
from tests.host.nonsense import NONSENSE

ROOT = Path(__file__).resolve().parents[2]
BUSY = 0.4          # seconds of CPU: of the two that such a command may last


@dataclass
class Outcome:
    """How a command ended: its error (None: no error), seconds it took, of CPU and in all."""

    error: Exception | None
    cpu: float
    wall: float


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = artifact.save(ART, tmp_path_factory.mktemp("nonsense") / "artifact")
    return ["run", "--task", "tests.sim.task:Tiny", "--artifact", str(folder), "-n", "2"]


def outcome(options, make):
    """Of the command at one device, in this thread."""
    with make() as device:
        begin, cpu, error = time.monotonic(), time.thread_time(), None
        try:
            program.main([*options, "--port", device.port])
        except Exception as raised:
            error = raised
        return Outcome(error, time.thread_time() - cpu, time.monotonic() - begin)


@pytest.fixture(scope="module")
def outcomes(options):
    """Of all devices; they wait side by side."""
    with Device(PretendBoard()) as device:       # what is made once is made: not a device's time
        assert program.main([*options, "--port", device.port]) == 0
    with ThreadPoolExecutor(8) as pool:
        ends = {name: pool.submit(outcome, options, make) for name, (make, _) in NONSENSE.items()}
        return {name: end.result() for name, end in ends.items()}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused(outcomes, name):
    end, said = outcomes[name], NONSENSE[name][1]
    assert isinstance(end.error, cli.UserError), end
    assert re.search(said, str(end.error)), end
    assert "\n" not in str(end.error) and end.wall < LIMIT and end.cpu < BUSY, end


def test_a_board_is_a_board(outcomes, options, capsys):
    """The pretended one, with every answer equal: so it was the nonsense that was refused."""
    with Device(PretendBoard(lose=0.1)) as device:
        assert program.main([*options, "--port", device.port]) == 0
    assert "2 of 2" in capsys.readouterr().out


def command(arguments):
    """``python -m host``: (exit code, lines on stderr, seconds of CPU, in all)."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    end = subprocess.run([sys.executable, "-m", "host", *arguments], cwd=ROOT, text=True,
                         capture_output=True, timeout=60, env=os.environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(after[:2]) - sum(before[:2])
    return end.returncode, end.stderr.splitlines(), cpu, time.monotonic() - begin


@pytest.mark.parametrize("name", ["zeros", "wrong tags", "silent", "unplugged"])
def test_the_real_command(name, options):
    """Seconds are those beyond what a whole run at a good board takes: the least of three tries,
    because a busy machine lets a program wait. Starting one costs CPU that differs by half a
    second from run to run; one that waits busily costs two seconds and more."""
    make, said = NONSENSE[name]
    for last in (False, False, True):
        with Device(PretendBoard()) as device:
            code, lines, cpu, wall = command([*options, "--port", device.port])
        assert (code, lines) == (0, [])
        with make() as device:
            code, lines, more, longer = command([*options, "--port", device.port])
        assert code == 2 and len(lines) == 1 and re.search(said, lines[0]), lines
        if longer - wall < LIMIT and more - cpu < 2 * BUSY:
            break
        assert not last, (longer - wall, more - cpu)
    assert PATIENCE + 2 < LIMIT
