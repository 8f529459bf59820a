"""A board in Verilator whose serial line is a pseudo-terminal: what a host sees of a real one."""

import os
import subprocess
import termios
import tty
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import verilog

from golden.base import made
from host.line import BAUD
from quant.integer.artifact import Artifact
from rtl.parts.config import HardwareConfig
from rtl.link.core import LinkCore
from sim import tools
from sim.native import wrapper
from sim.tools import SimError

SOURCE = Path(__file__).with_name("board.cpp")
CLOCK = 48e6            # Hz that the board claims to have
CLOCKS = 4              # per bit: a simulation need not wait as long as a real line
SPEED = termios.B1000000


@dataclass(frozen=True)
class Noise:
    """Shares of the bytes on the line, in both directions, that are changed and lost."""

    corrupt: float = 0.0
    drop: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class Ended:
    """What a simulated board did: bytes changed and lost, clock cycles."""

    corrupted: int
    dropped: int
    cycles: int


def build(art: Artifact, hw: HardwareConfig, optimise: str = "-O2") -> Path:
    """Verilate and compile the board (cached by content); returns the program."""
    tool = tools.verilator()
    board = LinkCore(art, hw, CLOCK, CLOCKS)
    source = verilog.convert(board, name="board", emit_src=False) + wrapper.source(board, "board")
    key = tools.content_hash(source, made.by("board build"), tool.version, tools.compiler(),
                             optimise)

    def compile_into(folder: Path) -> None:
        (folder / "board.v").write_text(source)
        (folder / SOURCE.name).write_bytes(SOURCE.read_bytes())     # for make, see sim.links
        command = [tool.binary, "--cc", "--exe", "--Mdir", "obj", "--top-module", wrapper.NAME,
                   "--prefix", "Vboard", "-o", "../board", "-O3", "--x-assign", "fast",
                   "--x-initial", "fast", "--noassert", "-Wno-fatal", "-Wno-lint"]
        tools.call([*command, f"../{SOURCE.name}", "board.v"], folder, tool.env(),
                   "verilating the board")
        tools.call(["make", "-C", "obj", "-f", "Vboard.mk", f"OPT_FAST={optimise}"], folder,
                   tool.env(), "compiling the board")
        for part in (folder / "obj").iterdir():
            part.unlink()
        (folder / "obj").rmdir()

    return tools.cached(tools.build_folder("board", key), compile_into) / "board"


class SimulatedBoard:
    """A running board; its ``port`` can be opened like any serial port, at 1,000,000 baud.

    A context manager: leaving it ends the board.

    Parameters
    ----------
    program : Path
        From :func:`build`.
    noise : Noise
    """

    def __init__(self, program: Path, noise: Noise = Noise()):
        assert BAUD == 1_000_000, "SPEED is its termios constant"
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        settings = termios.tcgetattr(self._slave)
        settings[4] = settings[5] = SPEED
        termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        self.port = os.ttyname(self._slave)
        shares = [str(round(65536 * share)) for share in (noise.corrupt, noise.drop)]
        self._process = subprocess.Popen(
            [str(program), str(self._master), str(CLOCKS), str(SPEED), *shares, str(noise.seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[self._master],
            process_group=0)        # Ctrl-C is for the host, which ends the board

    def __enter__(self) -> "SimulatedBoard":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def unplug(self) -> None:
        """The terminal disappears, as a serial adapter does whose cable is pulled."""
        self._process.kill()
        self._process.wait()
        for fd in (self._master, self._slave):
            os.close(fd)
        self._master = None

    def wait(self) -> None:
        """Until the board ends, which it does not by itself: then :class:`SimError`."""
        self._process.wait()
        self._check()

    def _check(self) -> None:
        if self._process.returncode:
            raise SimError(f"the simulated board ended with exit code {self._process.returncode}")

    def close(self) -> Ended | None:
        """End the board; returns what it did, None if it was unplugged or is closed already."""
        if self._master is None:
            return None
        try:
            text, _ = self._process.communicate(timeout=20)
        finally:
            self.unplug()
        self._check()
        return Ended(*map(int, text.split()[1:]))
