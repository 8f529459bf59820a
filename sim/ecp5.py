"""Verilog models of the ECP5 cells that yosys has none of, as far as it connects them here."""


BYTE = 9


def _pins(name: str, bits: int) -> list[str]:
    """The pins of a bus, the highest bit first, as in a concatenation."""
    return [f"{name}{j}" for j in reversed(range(bits))]


def multiplier() -> str:
    """MULT18X18D as it is used here: with its registers or without, all on CLK0; no chain."""
    a, b, c, p = _pins("A", 18), _pins("B", 18), _pins("C", 18), _pins("P", 36)
    inputs = ", ".join([*a, *b, *c, "SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB", "CLK0", "CE0",
                        "RST0"])
    names = [f"REG_{register}_{pin}" for register in ("INPUTA", "INPUTB", "OUTPUT")
             for pin in ("CLK", "CE", "RST")]
    parameters = ", ".join([f'parameter {name} = "NONE"' for name in names] +
                           ['parameter GSR = "ENABLED"'])

    def register(name: str, value: str, parameter: str) -> list[str]:
        return [f"  reg signed [37:0] {name}_1 = 0;",
                f"  always @(posedge CLK0) if (RST0) {name}_1 <= 0; "
                f"else if (CE0) {name}_1 <= {value};",
                f"  wire signed [37:0] {name} = "
                f"REG_{parameter}_CLK == \"CLK0\" ? {name}_1 : {value};"]
    return "\n".join([
        f"module MULT18X18D #({parameters}) (input {inputs}, output {', '.join(p)});",
        f"  wire signed [18:0] pins_a = {{SIGNEDA & A17, {', '.join(a)}}};",
        f"  wire signed [18:0] pins_b = {{SIGNEDB & B17, {', '.join(b)}}};",
        *register("a", "pins_a", "INPUTA"), *register("b", "pins_b", "INPUTB"),
        "  wire signed [37:0] exact = a * b;", *register("product", "exact", "OUTPUT"),
        f"  assign {{{', '.join(p)}}} = product[35:0];",
        "endmodule", ""])


def block_ram() -> str:
    """DP16KD of bytes of 9 bits: each port writes or reads 1, 2 or 4 of them, registers behind.

    As yosys's ``brams_map_16kd.v`` connects it: a row's address lies in the address pins from 13
    downwards; below it the pins 0 to 3 enable the bytes of a write, of more than one. Of four bytes
    port A writes and port B reads, and they take the data pins of both ports. Another width or
    edge has no model and stops the check.
    """
    ports = ["CLKA", "CLKB", "CEA", "CEB", "OCEA", "OCEB", "RSTA", "RSTB", "WEA", "WEB",
             *(f"CS{port}{k}" for port in "AB" for k in range(3))]
    buses = {name: _pins(name, bits) for name, bits in
             (("ADA", 14), ("ADB", 14), ("DIA", 18), ("DIB", 18))}
    outs = {name: _pins(name, 18) for name in ("DOA", "DOB")}
    slices = [f"INITVAL_{k:02X}" for k in range(64)]
    parameters = ", ".join([
        "parameter DATA_WIDTH_A = 18", "parameter DATA_WIDTH_B = 18",
        'parameter CLKAMUX = "CLKA"', 'parameter CLKBMUX = "CLKB"',
        *(f'parameter REGMODE_{port} = "NOREG"' for port in "AB"),
        *(f'parameter {name} = ""' for name in (
            "ASYNC_RESET_RELEASE", "CSDECODE_A", "CSDECODE_B", "GSR", "RESETMODE",
            "WRITEMODE_A", "WRITEMODE_B")),
        *(f"parameter [319:0] {name} = 0" for name in slices)])
    inputs = ", ".join([*ports, *(pin for pins in buses.values() for pin in pins)])
    lines = [f"module DP16KD #({parameters}) (input {inputs}, "
             f"output {', '.join(pin for pins in outs.values() for pin in pins)});",
             *(f"  wire [{len(pins) - 1}:0] {name} = {{{', '.join(pins)}}};"
               for name, pins in buses.items()),
             "  reg [8:0] bytes [0:2047];", "  integer k;",
             f"  localparam [20479:0] INIT = {{{', '.join(reversed(slices))}}};",
             "  initial for (k = 0; k < 2048; k = k + 1)",
             "    bytes[k] = INIT[20 * (k / 2) + 9 * (k % 2) +: 9];",     # two, and two bits unused
             "  wire [35:0] dataA = {DIB, DIA}, dataB = {18'd0, DIB};", "  generate",
             "    if (CLKAMUX != \"CLKA\" || CLKBMUX != \"CLKB\")",
             "      no_such_DP16KD edges();", "  endgenerate"]
    for port in "AB":
        lines += _port(port)
    return "\n".join([
        *lines, f"  assign {{{', '.join(outs['DOB'] + outs['DOA'])}}} = "
        "DATA_WIDTH_B == 36 ? outB : {outB[17:0], outA[17:0]};", "endmodule", ""])


def _port(port: str) -> list[str]:
    """One port: it writes with its WE, else it reads, and a register behind if REGMODE says so."""
    lines = [f"  reg [35:0] row{port} = 0, kept{port} = 0;", "  generate"]
    for count in (1, 2, 4):
        width, none = BYTE * count, count.bit_length() - 1
        lines += [f"    {'else ' * (count > 1)}if (DATA_WIDTH_{port} == {width}) begin",
                  f"      always @(posedge CLK{port}) if (CE{port}) begin"]
        for k in range(count):
            enable = f" & AD{port}[{k}]" if count > 1 else ""
            at = f"{{AD{port}[13:{3 + none}]" + (f", {none}'d{k}" if none else "") + "}"
            if (port, count) != ("B", 4):
                lines.append(f"        if (WE{port}{enable}) bytes[{at}] <= "
                             f"data{port}[{BYTE * k} +: {BYTE}];")
            if (port, count) != ("A", 4):
                lines.append(f"        if (~WE{port}) row{port}[{BYTE * k} +: {BYTE}] <= "
                             f"bytes[{at}];")
        lines += ["      end", "    end"]
    return lines + [
        f"    else no_such_DP16KD width_{port}();", "  endgenerate",
        f"  always @(posedge CLK{port}) if (OCE{port}) kept{port} <= row{port};",
        f"  wire [35:0] out{port} = REGMODE_{port} == \"OUTREG\" ? kept{port} : row{port};"]
