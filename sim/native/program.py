"""A core as a native program: Verilog through Verilator and the C++ compiler, kept by content."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.back import verilog

from golden.base import forms, made
from rtl.parts.config import Geometry
from sim import tools
from sim.native import edge, simd, wrapper
from sim.ports import fields

HERE = Path(__file__).parent
MAIN = HERE / "native.cpp"
DRAIN = 256             # cycles after the last result in which nothing more may come
# Statements per function that Verilator writes: a few kilobytes of code, so that the tracks of one
# program find it in the instruction cache.
FUNCTION = 1500
# Of the code for many tracks (simd.py); -O1 makes the same vectors as -O3 in less time. GCC 12's
# ivopts can make a function that does nothing but store look pure, and then its call is lost.
VECTORS = ("-O1", "-ftree-vectorize", "-fvect-cost-model=dynamic", "-fno-ivopts")
COST = {"tracks": forms.whole(), "seconds": forms.amount, "cpu_seconds": forms.amount}
# Without optimisation one file with one function is compiled in less than half the time of several.
SPLIT = {"-O0": ("--output-split", "0", "--output-split-cfuncs", "0")}


@dataclass(frozen=True)
class Program:
    """A compiled simulation and the shape of what it writes."""

    binary: Path
    row: np.dtype
    answer: np.dtype
    n_layers: int
    geo: Geometry               # a row is a block of steps, its words one behind the other
    bits: tuple[int, int]       # of a neuron's s_in and s_out in a step
    trace: str | None           # fst, vcd, or None
    tracks: int                 # that advance together as vectors; 0: any number, one by one
    seconds: float              # that building it took
    cpu_seconds: float          # the same of one processor, and of what else was built meanwhile


def build(core, trace: str | None = None, source: str | None = None,
          optimise: str = "-O2", tracks: int = 0) -> Program:
    """Verilate and compile a core (cached by content).

    Parameters
    ----------
    core : rtl.core.Core
        Anything with ``art``, ``hw`` and the core's ports.
    trace : str or None
        Build in a trace of this kind, ``fst`` or ``vcd``; slower.
    source : str or None
        Verilog of ``core``, where the caller has it already.
    optimise : str
        Compiler flag; ``-O0`` for designs that run only a few thousand cycles.
    tracks : int
        So many cores that advance together as vectors (``sim.native.simd``, ``VECTORS`` in place of
        ``optimise`` but for ``-O0``): faster per step, if they run in step, and slower to build.
        0, or a model of a form that ``simd`` does not know: any number, one by one.
    """
    tool = tools.verilator()
    source = (source or verilog.convert(core, name="core", emit_src=False)) + wrapper.source(
        core, "core")
    header = shape_header(core, trace)
    flags, instructions = tools.native_instructions() if tracks else ([], "")
    key = tools.content_hash(source, header, made.by("native build"), tool.version,
                             tools.compiler(), optimise, tracks, instructions)

    def compile_into(folder: Path) -> None:
        begin, before = time.perf_counter(), tools.children_seconds()
        (folder / "core.v").write_text(source)
        (folder / "shape.h").write_text(header)
        for part in (MAIN, HERE / "track.h"):       # make could not read every path to them
            (folder / part.name).write_bytes(part.read_bytes())
        command = [tool.binary, "--cc", "--exe", "--Mdir", "obj", "--top-module", wrapper.NAME,
                   "--prefix", "Vcore", "-o", "../sim", "-O3", "--x-assign", "fast", "--x-initial",
                   "fast", "--noassert", "-Wno-fatal", "-Wno-lint", "-CFLAGS", "-I.."]
        command += SPLIT.get(optimise, ("--output-split-cfuncs", str(FUNCTION)))
        command += {None: [], "vcd": ["--trace-vcd"], "fst": ["--trace-fst"]}[trace]
        tools.call([*command, f"../{MAIN.name}", "core.v"], folder, tool.env(),
                   "verilating the core")
        found = None if trace else edge.find(folder / "obj")
        make = ["make", "-C", "obj", "-f", "Vcore.mk", "-j", "2"]
        files = simd_files(found, folder / "obj", tracks)
        if files:       # the model itself only starts the state
            tools.call([*make, "OPT_FAST=-O0", "Vcore__ALL.a"], folder, tool.env(),
                       "compiling the core")
            options = [optimise] if optimise == "-O0" else [*VECTORS, *flags]
            make += [f"OPT_FAST={' '.join(options)} -DSIMD",
                     f"VM_USER_CLASSES={' '.join(files)}"]
        else:
            (folder / "step.h").write_text(edge.header(found))
            make += [f"OPT_FAST={optimise}"]
        tools.call(make, folder, tool.env(), "compiling the core")
        for part in (folder / "obj").iterdir():
            part.unlink()
        (folder / "obj").rmdir()
        (folder / "cost.json").write_text(json.dumps({
            "tracks": tracks if files else 0, "seconds": round(time.perf_counter() - begin, 1),
            "cpu_seconds": round(tools.children_seconds() - before, 1)}))

    folder = tools.build_folder("native", key)
    tools.cached(tools.without_damaged(folder, lambda: (folder / "sim").exists() and forms.kept(
        folder / "cost.json", COST)), compile_into)
    art = core.art
    row = np.dtype([("words", "<u2"), ("ended", "u1"), ("signature", "<u4"),
                    ("spikes", "u1", (-(-core.geo.P * art.H * sum(spike_bits(core)) // 8),))])
    answer = np.dtype([("first", "<u8"), ("last", "<u8"), ("done", "<u8"), ("label", "<u4"),
                       ("logits", "<i8", (art.outputs,)),
                       ("saturations", "<u4", (len(art.blocks) + 1,)),
                       ("busy", "<u8", (len(art.blocks),))])
    return Program(folder / "sim", row, answer, len(art.blocks), core.geo, spike_bits(core), trace,
                   **forms.kept(folder / "cost.json", COST))


def simd_files(found: edge.Edge | None, folder: Path, tracks: int) -> list[str]:
    """Names of the files with the code for many tracks and of the main program; [] without."""
    try:
        return [MAIN.stem, *simd.write(found, folder, tracks)] if found and tracks else []
    except simd.UnknownForm:
        return []


def spike_bits(core) -> tuple[int, int]:
    """Of a neuron's s_in and s_out at the taps: 1, with -1, 0 and 1 2, and 0 without spikes."""
    tap = fields(core, "tap0")
    return tuple(tap[name].width // core.geo.values if name in tap else 0
                 for name in ("s_in", "s_out"))


def shape_header(core, trace: str | None) -> str:
    """``shape.h``: ports and shapes of a core for ``track.h``."""
    art, geo = core.art, core.geo
    i, o, cfg = (fields(core, member) for member in ("i", "o", "cfg"))

    def whole(field) -> str:
        return f"PORT({field.port.replace('__', '___05F')})"

    def part(field) -> str:
        return f"bits({whole(field)}, {field.low}, {field.width})"

    define = {
        "LAYERS": len(art.blocks), "H": geo.P * geo.H, "G": geo.values, "WORDS": geo.words,
        "CLASSES": art.outputs, "DRAIN": DRAIN,
        "VALUE_LOW": i["value"].low, "VALUE_BITS": i["value"].width, "LAST_LOW": i["last"].low,
        "LABEL_LOW": o["label"].low, "LABEL_BITS": o["label"].width,
        "LOGITS_LOW": o["logits"].low, "LOGIT_BITS": o["logits"].width // art.outputs,
        "SATURATIONS_LOW": o["saturations"].low,
        **dict(zip(("IN_BITS", "OUT_BITS"), spike_bits(core)))}
    lines = ["#pragma once", *(f"constexpr int {k} = {v};" for k, v in define.items())]
    ports = {"IN_PAYLOAD": i["payload"], "IN_VALID": i["valid"], "IN_READY": i["ready"],
             "OUT_PAYLOAD": o["payload"], "OUT_VALID": o["valid"], "OUT_READY": o["ready"],
             "CFG_EN": cfg["en"], "CFG_ADDR": cfg["addr"], "CFG_DATA": cfg["data"],
             "BUSY": fields(core, "busy")["busy"]}
    lines += [f"#define {name} {whole(field)}" for name, field in ports.items()]
    taps = ""
    for j in range(len(art.blocks)):
        tap = fields(core, f"tap{j}")
        s_in, s_out = (tap.get(name, tap["valid"]) for name in ("s_in", "s_out"))
        taps += (f" if ({part(tap['valid'])}) layers[{j}].word({whole(s_in)}, "
                 f"{s_in.low}, {whole(s_out)}, {s_out.low}, "
                 f"{part(tap['end'])}, {part(tap['signature'])});")
    lines.append(f"#define TAPS(layers){taps}")
    if trace:
        lines += [f'#define TRACE_HEADER "verilated_{trace}_c.h"',
                  f"#define TRACE_CLASS Verilated{trace.capitalize()}C"]
    return "\n".join(lines) + "\n"
