"""A core as a native program: Verilog through Verilator and the C++ compiler, kept by content."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.back import verilog

from rtl.config import Geometry
from sim import tools, wrapper
from sim.ports import fields

HERE = Path(__file__).parent
MAIN, TRACK = HERE / "native.cpp", HERE / "track.h"
DRAIN = 256             # cycles after the last result in which nothing more may come
# Statements per function that Verilator writes: a few kilobytes of code, so that the tracks of one
# program find it in the instruction cache.
FUNCTION = 1500


@dataclass(frozen=True)
class Program:
    """A compiled simulation and the shape of what it writes."""

    binary: Path
    row: np.dtype
    answer: np.dtype
    n_layers: int
    H: int
    trace: str | None           # fst, vcd, or None
    seconds: float              # that building it took


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
    source = (source or verilog.convert(core, name="core", emit_src=False)) + wrapper.source(
        core, "core")
    kind = tools.trace_kind() if waves else None
    header = shape_header(core, kind)
    key = tools.content_hash(source, header, MAIN.read_text(), TRACK.read_text(), tool.version,
                             optimise, FUNCTION)

    def compile_into(folder: Path) -> None:
        begin = time.perf_counter()
        (folder / "core.v").write_text(source)
        (folder / "shape.h").write_text(header)
        command = [tool.binary, "--cc", "--exe", "--Mdir", "obj", "--top-module", wrapper.NAME,
                   "--prefix", "Vcore", "-o", "../sim", "-O3", "--x-assign", "fast", "--x-initial",
                   "fast", "--noassert", "-Wno-fatal", "-Wno-lint", "--output-split-cfuncs",
                   str(FUNCTION), "-CFLAGS", f"-I.. -I{HERE}"]
        command += {None: [], "vcd": ["--trace-vcd"], "fst": ["--trace-fst"]}[kind]
        tools.call([*command, str(MAIN), "core.v"], folder, tool.env(), "verilating the core")
        functions = [] if waves else edge_functions(folder / "obj")
        (folder / "step.h").write_text(step_header(functions))
        tools.call(["make", "-C", "obj", "-f", "Vcore.mk", "-j", "2", f"OPT_FAST={optimise}"],
                   folder, tool.env(), "compiling the core")
        for part in (folder / "obj").iterdir():
            part.unlink()
        (folder / "obj").rmdir()
        (folder / "seconds").write_text(f"{time.perf_counter() - begin:.1f}")

    folder = tools.cached(tools.BUILD / "native" / key, compile_into)
    art = core.art
    row = np.dtype([("words", "<u2"), ("ended", "u1"), ("signature", "<u4"),
                    ("s_in", "u1", (-(-art.H // 8),)), ("s_out", "u1", (-(-art.H // 8),))])
    answer = np.dtype([("first", "<u8"), ("last", "<u8"), ("done", "<u8"), ("label", "<u4"),
                       ("logits", "<i8", (art.n_classes,)),
                       ("saturations", "<u4", (len(art.layers) + 1,))])
    return Program(folder / "sim", row, answer, len(art.layers), art.H, kind,
                   float((folder / "seconds").read_text()))


def edge_functions(folder: Path) -> list[str]:
    """The functions that a Verilated model calls at the clock edge, in order.

    Empty if anything else happens there, or in between: then the model's ``eval`` is needed.
    """
    root = "Vcore___024root___"
    text = "".join(path.read_text() for path in sorted(folder.glob("Vcore___024root__*.cpp")))
    body = re.search(rf"^void {root}eval_nba\(.*?\n    // Body\n(.*?)^}}", text, re.S | re.M)
    if f"{root}eval_phase__ico" in text or not body:
        return []
    first, *calls, last = body[1].splitlines()
    found = [re.fullmatch(rf"        ({root}nba_\w+)\(vlSelf\);", call) for call in calls]
    if first != "    if ((1ULL & vlSelfRef.__VnbaTriggered[0U])) {" or last != "    }":
        return []
    return [match[1] for match in found] if all(found) else []


def step_header(functions: list[str]) -> str:
    """``step.h``: the functions of a clock edge for ``native.cpp``."""
    lines = ["#pragma once", *(f"void {name}(Vcore___024root*);" for name in functions)]
    if functions:
        lines.append(f"#define EDGE_FUNCTIONS {', '.join(functions)}")
    return "\n".join(lines) + "\n"


def shape_header(core, trace: str | None) -> str:
    """``shape.h``: ports and shapes of a core for ``track.h``."""
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
