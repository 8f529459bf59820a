"""The core as a native program: whole sequences in, every spike out, no Python per clock cycle."""

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.back import verilog

from rtl.config import Geometry
from sim import tools
from sim.compare import Result, Rows
from sim.ports import fields
from sim.tools import SimError

MAIN = Path(__file__).with_name("native.cpp")
DRAIN = 256             # cycles after the last result in which nothing more may come
TRACE_STEPS = 200


@dataclass(frozen=True)
class Program:
    """A compiled simulation and the shape of what it writes."""

    binary: Path
    row: np.dtype
    answer: np.dtype
    n_layers: int
    H: int
    trace: str | None           # fst, vcd, or None


def build(core, waves: bool = False, source: str | None = None,
          optimise: str = "-O2") -> Program:
    """Verilate and compile a core (cached by content).

    Parameters
    ----------
    core : rtl.core.Core
        Anything with ``art``, ``hw`` and the core's ports.
    waves : bool
        Build in a trace; slower.
    source : str or None
        Verilog of ``core``, where the caller has it already.
    optimise : str
        Compiler flag; ``-O0`` for designs that run only a few thousand cycles.
    """
    tool = tools.verilator()
    source = source or verilog.convert(core, name="core", emit_src=False)
    kind = tools.trace_kind() if waves else None
    header = shape_header(core, kind)
    key = tools.content_hash(source, header, MAIN.read_text(), tool.version, optimise)

    def compile_into(folder: Path) -> None:
        (folder / "core.v").write_text(source)
        (folder / "shape.h").write_text(header)
        command = [tool.binary, "--cc", "--exe", "--build", "-j", "2", "--Mdir", "obj",
                   "--top-module", "core", "--prefix", "Vcore", "-o", "../sim",
                   "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "-Wno-fatal",
                   "-Wno-lint", "-CFLAGS", "-I..", "-MAKEFLAGS", f"OPT_FAST={optimise}"]
        command += {None: [], "vcd": ["--trace-vcd"], "fst": ["--trace-fst"]}[kind]
        tools.call([*command, str(MAIN), "core.v"], folder, tool.env(), "compiling the core")
        for part in (folder / "obj").iterdir():
            part.unlink()
        (folder / "obj").rmdir()

    folder = tools.cached(tools.BUILD / "native" / key, compile_into)
    art = core.art
    row = np.dtype([("words", "<u2"), ("ended", "u1"), ("signature", "<u4"),
                    ("s_in", "u1", (-(-art.H // 8),)), ("s_out", "u1", (-(-art.H // 8),))])
    answer = np.dtype([("first", "<u8"), ("last", "<u8"), ("done", "<u8"), ("label", "<u4"),
                       ("logits", "<i8", (art.n_classes,)),
                       ("saturations", "<u4", (len(art.layers) + 1,))])
    return Program(folder / "sim", row, answer, len(art.layers), art.H, kind)


def shape_header(core, trace: str | None) -> str:
    """``shape.h``: ports and shapes of a core for ``native.cpp``."""
    art, geo = core.art, Geometry.of(core.art, core.hw)
    i, o, cfg = (fields(core, member) for member in ("i", "o", "cfg"))

    def whole(field) -> str:
        return "top." + field.port.replace("__", "___05F")

    def part(field) -> str:
        return f"bits({whole(field)}, {field.low}, {field.width})"

    define = {
        "LAYERS": len(art.layers), "H": geo.H, "G": geo.G, "WORDS": geo.words,
        "CLASSES": art.n_classes, "DRAIN": DRAIN,
        "VALUE_LOW": i["value"].low, "VALUE_BITS": i["value"].width, "LAST_LOW": i["last"].low,
        "LABEL_LOW": o["label"].low, "LABEL_BITS": o["label"].width,
        "LOGITS_LOW": o["logits"].low, "LOGIT_BITS": o["logits"].width // art.n_classes,
        "SATURATIONS_LOW": o["saturations"].low}
    lines = ["#pragma once", *(f"constexpr int {k} = {v};" for k, v in define.items())]
    ports = {"IN_PAYLOAD": i["payload"], "IN_VALID": i["valid"], "IN_READY": i["ready"],
             "OUT_PAYLOAD": o["payload"], "OUT_VALID": o["valid"], "OUT_READY": o["ready"],
             "CFG_EN": cfg["en"], "CFG_ADDR": cfg["addr"], "CFG_DATA": cfg["data"]}
    lines += [f"#define {name} {whole(field)}" for name, field in ports.items()]
    taps = ""
    for j in range(len(art.layers)):
        tap = fields(core, f"tap{j}")
        taps += (f" if ({part(tap['valid'])}) layers[{j}].word({whole(tap['s_in'])}, "
                 f"{tap['s_in'].low}, {whole(tap['s_out'])}, {tap['s_out'].low}, "
                 f"{part(tap['end'])}, {part(tap['signature'])});")
    lines.append(f"#define TAPS(layers){taps}")
    if trace:
        lines += [f'#define TRACE_HEADER "verilated_{trace}_c.h"',
                  f"#define TRACE_CLASS Verilated{trace.capitalize()}C"]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Run:
    """What a run wrote, sequence by sequence."""

    program: Program
    lengths: np.ndarray
    answers: np.ndarray         # of Program.answer; fewer than lengths if the run got stuck
    layers: list[np.ndarray]    # memory-mapped rows of Program.row, one array per layer

    def rows(self, position: int) -> list[Rows]:
        """Steps of the sequence at ``position`` in this run, per layer."""
        start = int(self.lengths[:position].sum())
        stop = start + int(self.lengths[position])
        return [self._rows(layer[start:stop]) for layer in self.layers]

    def _rows(self, part: np.ndarray) -> Rows:
        def spikes(packed):
            return np.unpackbits(packed, axis=1, count=self.program.H, bitorder="little")
        return Rows(spikes(part["s_in"]), spikes(part["s_out"]), part["signature"],
                    part["words"].astype(np.int64), part["ended"])

    def result(self, position: int) -> Result | None:
        if position >= len(self.answers):
            return None
        answer = self.answers[position]
        return Result(int(answer["label"]), answer["logits"],
                      answer["saturations"].astype(np.int64))

    def surplus(self) -> tuple[list[int], int]:
        """Steps per layer and results behind the last sequence."""
        total = int(self.lengths.sum())
        return ([max(0, len(layer) - total) for layer in self.layers],
                max(0, len(self.answers) - len(self.lengths)))

    @property
    def cycles(self) -> int:
        """From the first sample's transfer to the last result's."""
        if not len(self.answers):
            return 0
        return int(self.answers["done"][-1] - self.answers["first"][0])


def run(program: Program, sequences: list[np.ndarray], limit: int, folder: Path,
        writes: list[tuple[int, int]] = (), stall: float = 0.0, seed: int = 1,
        waves: Path | None = None, progress: Callable[[int], None] | None = None,
        allow_stuck: bool = False) -> Run:
    """Run sequences of raw samples or tokens back to back.

    Parameters
    ----------
    limit : int
        Clock cycles after which the run is stuck.
    folder : Path
        Where the program writes; made if missing.
    writes : list of (address, data)
        Configuration writes before the first sequence.
    stall : float
        Probability of a stall per cycle, independently at the input and at the output; ``seed``
        makes the pattern.
    waves : Path or None
        Trace of the first sequence's first 200 steps (with a program built for it).
    progress : callable or None
        Called with the number of steps that the last layer has committed.
    allow_stuck : bool
        Return what there is after ``limit`` cycles in place of raising.

    Raises
    ------
    SimError
        Stuck after ``limit`` cycles, with how far each layer got; or no space to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = [len(writes), *(int(x) for pair in writes for x in pair), len(sequences)]
    flat = [np.array(words, np.int64)]
    for values in sequences:
        flat += [np.array([len(values)], np.int64), np.asarray(values, np.int64)]
    np.concatenate(flat).tofile(folder / "input.bin")
    per65536 = str(round(stall * 65536))
    command = [str(program.binary), str(folder / "input.bin"), str(folder), str(limit), per65536,
               per65536, str(seed)]
    if waves:
        command += [str(waves), str(TRACE_STEPS)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            for line in process.stdout:
                if progress and line.startswith("steps "):
                    progress(int(line[6:]))
            code = process.wait()
        finally:
            process.kill()
        errors.seek(0)
        message = errors.read().strip()
    if code == 3 and not allow_stuck:
        raise SimError(f"the core is stuck: {message}")
    if code not in (0, 3):
        raise SimError(f"the simulation ended with exit code {code}: {message}")
    layers = [_load(folder / f"layer{j}.bin", program.row) for j in range(program.n_layers)]
    return Run(program, np.array([len(v) for v in sequences]),
               np.fromfile(folder / "results.bin", program.answer), layers)


def _load(path: Path, dtype: np.dtype) -> np.ndarray:
    """Memory-mapped records; numpy cannot map an empty file."""
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)
