"""Build an Amaranth component with Verilator and run a cocotb module on it."""

import contextlib
import os
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from pathlib import Path

from amaranth.back import verilog
from amaranth.lib import wiring
from cocotb_tools import config
from cocotb_tools.runner import Verilator, VerilatorControlFile

from golden.base import folders, made
from golden.base.files import write_atomic
from sim import links, tools
from sim.ports import port_names
from sim.tools import SimError


OPTIMISE = "-O1"        # a bench runs for seconds: compiling it longer does not pay


class PortsOnlyVerilator(Verilator):
    """Verilator with only the signals of a control file public.

    cocotb 2.1 makes every signal public, which costs several times the build and the simulation.
    Inner signals are then out of reach of the test bench.
    """

    def _simulator_in_path_build_only(self):
        self.executable = tools.verilator().binary

    def _set_env_build(self):
        super()._set_env_build()
        env = tools.verilator().env()
        self.env |= {name: env[name] for name in ("VERILATOR_ROOT", "OBJCACHE", "MAKEFLAGS")
                     if name in env}
        self.env["MAKEFLAGS"] += f" OPT_FAST={OPTIMISE}"

    def _build_command(self):
        names = {str(folder): str(links.plain(folder))
                 for folder in (config.libs_dir, config.share_dir)}
        return [[self._renamed(arg, names) for arg in command if arg != "--public-flat-rw"]
                for command in super()._build_command()]

    @staticmethod
    def _renamed(text: str, names: dict[str, str]) -> str:
        for old, new in names.items():
            text = text.replace(old, new)
        return text

    def _set_env_test(self):
        super()._set_env_test()     # a kept program may name another environment's libraries
        self.env["LD_LIBRARY_PATH"] = os.pathsep.join(filter(
            None, [str(config.libs_dir), self.env.get("LD_LIBRARY_PATH")]))


def control_file(component: wiring.Component, name: str) -> str:
    """Verilator's control file that makes the ports of ``component`` public, nothing else."""
    return "`verilator_config\n" + "".join(f'public_flat_rw -module "{name}" -var "{port}"\n'
                                           for port in port_names(component))


def build(component: wiring.Component, name: str, source: str | None = None) -> Path:
    """Compile ``component`` for cocotb, cached by content; returns the folder of the program."""
    tool = tools.verilator()
    source = source or verilog.convert(component, name=name, emit_src=False)
    control = control_file(component, name)
    key = tools.content_hash(source, control, made.by("cocotb build"), tool.version,
                             tools.compiler())

    def compile_into(folder: Path) -> None:
        (folder / f"{name}.v").write_text(source)
        (folder / "public.vlt").write_text(control)
        log = folder / "build.log"
        try:
            with _environment():
                PortsOnlyVerilator().build(
                    sources=[VerilatorControlFile(folder / "public.vlt"), folder / f"{name}.v"],
                    hdl_toplevel=name, build_dir=folder, always=True, timescale=("1ns", "1ps"),
                    build_args=["-Wno-fatal", "-Wno-lint", "-O3"], log_file=log)
        except RuntimeError:
            tail = "\n".join(log.read_text(errors="replace").strip().splitlines()[-15:])
            raise SimError(f"compiling {name} for cocotb failed:\n{tail}") from None

    return tools.cached(tools.build_folder("cocotb", f"{name}-{key}"), compile_into)


def simulate(component: wiring.Component, test_module: str, name: str,
             env: dict[str, str] | None = None, source: str | None = None,
             testcase: str | None = None) -> None:
    """Run the cocotb tests of ``test_module`` on ``component``.

    Parameters
    ----------
    name : str
        Of the Verilog module, and of folders below ``build/sim``.
    env : dict or None
        More environment variables for the bench.
    source : str or None
        Verilog of ``component``, where the caller has it already.
    testcase : str or None
        Only tests with this text in their name.

    Raises
    ------
    SimError
        A test failed, or none ran; the message has what the bench printed last.
    """
    folder = build(component, name, source)
    with folders.fresh(tools.build_folder("runs"), name) as work:
        log, results = work / "log", work / "results.xml"
        try:
            with _environment():
                PortsOnlyVerilator().test(
                    hdl_toplevel=name, hdl_toplevel_lang="verilog", test_module=test_module,
                    build_dir=folder, test_dir=work, results_xml=str(results), log_file=log,
                    extra_env=env or {}, test_filter=testcase)
            failures, count = _failures(results)
        except (SystemExit, RuntimeError, OSError, xml.ParseError):
            failures, count = ["the simulator stopped before the end"], 0
        if failures or not count:
            printed = log.read_text(errors="replace").strip() if log.exists() else ""
            kept = write_atomic(tools.build_folder("failed", f"{name}.{test_module}.log"), printed)
            raise SimError("\n".join([
                f"{test_module}: {failures[0] if failures else 'no test ran'}",
                *printed.splitlines()[-30:], f"whole log: {kept}"]))


def _failures(results: Path) -> tuple[list[str], int]:
    """(messages of the tests that failed, number of tests that ran)."""
    found, count = [], 0
    for case in xml.parse(results).iter("testcase"):
        count += case.find("skipped") is None
        for bad in [*case.iter("failure"), *case.iter("error")]:
            text = bad.get("error_msg") or bad.get("message") or bad.text or "failed"
            found.append(f"{case.get('name')}: {' '.join(text.split())}")
    return found, count


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Without the variables by which cocotb's runner would change its behaviour."""
    names = ("WAVES", "GUI", "PYTEST_CURRENT_TEST", "COCOTB_TEST_FILTER")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ |= kept
