"""Verilog around a core: every input goes through a register, for the native simulation.

Verilator evaluates all that depends on an input at every call, and every register of the core
depends on ``rst``. Behind registers nothing happens but at the rising clock edge: half the time.
"""

from amaranth.hdl import Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In

NAME = "bench"


def source(component: wiring.Component, name: str) -> str:
    """Verilog of module ``bench``, with the ports of ``component``, whose module is ``name``."""
    ports = [("__".join(map(str, path)), member.flow == In, Shape.cast(member.shape).width)
             for path, member, _ in component.signature.flatten(component)
             if path not in (("clk",), ("rst",))]
    inputs = [("rst", 1), *((port, width) for port, is_input, width in ports if is_input)]
    outputs = [(port, width) for port, is_input, width in ports if not is_input]
    lines = [f"module {NAME} (input clk"]
    lines += [f"  , input [{width - 1}:0] {port}" for port, width in inputs]
    lines += [f"  , output [{width - 1}:0] {port}" for port, width in outputs]
    lines += [");"]
    lines += [f"  reg [{width - 1}:0] {port}_now;" for port, width in inputs]
    lines += ["  always @(posedge clk) begin"]
    lines += [f"    {port}_now <= {port};" for port, _ in inputs]
    lines += ["  end", f"  {name} core (.clk(clk)"]
    lines += [f"    , .{port}({port}_now)" for port, _ in inputs]
    lines += [f"    , .{port}({port})" for port, _ in outputs]
    return "\n".join([*lines, "  );", "endmodule", ""])
