"""The page that ``python -m sim.bench`` prints: tables, beside published hardware."""

# What others have published: work, device, task and accuracy, latency, power or energy.
PUBLISHED = (
    ("S4D on Loihi 2 (arXiv 2409.15022)", "Loihi 2, 31 or 111 cores", "sMNIST, psMNIST, sCIFAR",
     "75 times less than a recurrent S4D on a Jetson Orin Nano", "1000 times less per token"),
    ("Spiker+ (arXiv 2401.01141)", "XC7Z020, 7,612 cells, 18 BRAM", "MNIST", "0.78 ms", "180 mW"),
    ("Spiker+", "XC7Z020, 18,268 cells, 51 BRAM", "SHD", "0.054 ms", "430 mW"),
    ("Flexi-NeurA (arXiv 2602.18140)", "1,623 cells, 7 BRAM", "MNIST 97.23 %", "1.1 ms", "111 mW"),
    ("snn-fpga (arXiv 2507.07284)", "Artix-7, 6,358 LUT, 40.5 BRAM", "MNIST 16x16", "0.52 ms", ""),
    ("Skydiver", "XC7Z045", "MNIST 98.5 %", "0.044 ms", "42.4 uJ"),
    ("SYNtzulu", "iCE40UP5K, 3,473 LC, 17 EBR, 2 DSP, 4 SPRAM", "sEMG gestures", "", "9.5 mW"))


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows)]


def page(result: dict) -> str:
    """All tables of a result of :func:`sim.bench.measure`."""
    synthesis = result["synthesis"]
    lines = [f"# {result['name']}: speed, size and energy of the core", "",
             f"`python -m sim.bench {result['network']}`, artifact {result['artifact']}, commit "
             f"{result['commit']}, {result['date']}, on {result['machine']}.", "",
             "## Cycles, counted in simulation and equal to the prediction", ""]
    lines += table(
        ["lanes a layer", "multipliers", "cycles per step", "roofline", "multiplier slots used",
         "needed products per cycle"],
        [[str(row["lanes"]), str(row["multipliers"]), f"{row['cycles_per_step']:.3f}",
          f"{row['roofline']:g}", f"{100 * row['utilisation']:.2f} %",
          f"{row['multipliers'] * row['utilisation']:.2f}"] for row in result["rows"]])
    lines += ["", "Every lane has its own read and write port of the state memory and read ports "
              "of the coefficients, used once a cycle: the memories' roofline is the multipliers'."]
    lines += ["", "## Area and frequency (`python -m rtl.synth`)", ""]
    lines += table(
        ["family", "device", "lanes a layer", "multipliers", "block RAM", "LUT", "flip-flops",
         "Fmax routed", "us per step", "ms per sequence"],
        [_synthesis(found, result) for found in synthesis]) if synthesis else [
            "No synth.json of this network in docs/results or build/synth."]
    lines += ["", "## Simulation", ""]
    lines += table(
        ["lanes a layer", "steps per CPU second, native", "peak memory", "build, wall",
         "build, CPU time"],
        [[str(row["lanes"]), f"{row['steps_per_cpu_second']:,.0f}",
          f"{row['native_memory_bytes'] / 2 ** 20:,.0f} MiB", f"{row['build_seconds']:.0f} s",
          f"{row['build_cpu_seconds']:.0f} s"] for row in result["rows"]])
    speeds = result["steps_per_second"]
    lines += ["", f"With {speeds['lanes']} lanes: " + ", ".join(
        f"{name} {speeds[name]:,.1f}" for name in ("native", "cocotb", "amaranth"))
        + " steps per second (of CPU time; cocotb: wall)."]
    lines += ["", "## Energy of a step, estimated", "", *_energy(result)]
    lines += ["", "## Published hardware", ""]
    lines += table(["work", "device", "task", "latency", "power or energy"],
                   [list(row) for row in PUBLISHED])
    return "\n".join(lines) + "\n"


def _synthesis(found: dict, result: dict) -> list[str]:
    cells = found["cells"]
    old = found.get("old")      # its frequency says nothing of this core's
    cycles = next((row["cycles_per_step"] for row in result["rows"]
                   if row["lanes"] == found["lanes"] and not old), None)
    step = cycles / found["fmax"] if cycles and found["fmax"] else None
    return [found["family"] + (f", {old}" if old else ""), found["device"],
            f"{found['lanes']}{', with signatures' if found['signature'] else ''}",
            *(f"{cells.get(name, 0):,g}" for name in ("multiplier", "block_ram", "lut", "ff")),
            f"{found['fmax']:.1f} MHz" if found["fmax"] else "",
            f"{step:.3f}" if step else "",
            f"{step * result['length'] / 1000:.3f}" if step else ""]


def _energy(result: dict) -> list[str]:
    counted, toggles = result["counted"], result["toggles"]
    whole = result["length"] / 1000
    rows = [[f"counted: {name}", "", f"{pJ / 1000:.2f}", f"{pJ / 1000 * whole:.2f}"]
            for name, pJ in counted["pJ"].items()]
    rows += [["counted: all", f"{counted['products']:,.0f} products, {counted['sums']:,.0f} sums, "
              f"{counted['memory_bits']:,.0f} bits of memory", f"{counted['nJ_per_step']:.2f}",
              f"{counted['nJ_per_step'] * whole:.2f}"],
             ["by toggles", f"{toggles['toggles_per_step']:,.0f} toggles of {toggles['nets']:,} "
              f"nets, {toggles['steps']} steps", f"{toggles['nJ_per_step']:.2f}",
              f"{toggles['nJ_per_step'] * whole:.2f}"]]
    return [*table(["estimate", "per step", "nJ per step", "uJ per sequence"], rows), "",
            "Counted at 45 nm prices scaled by the widths (sim/measure/energy.py), state updates "
            "included, comparisons and random words not; toggles at an assumed "
            f"{toggles['pJ_per_toggle']:.2f} pJ each, without the clock's tree and static power."]
