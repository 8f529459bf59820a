"""Verilog models of the ECP5 cells that yosys has none of, as far as it connects them here."""


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
    """DP16KD of bytes of 9 bits: port A writes 1, 2 or 4 of them, port B reads as many.

    As yosys's ``brams_map_16kd.v`` connects it: a row's address lies in AD13 downwards; below it
    AD0 to AD3 enable the bytes of a write, of more than one. Four bytes take the data pins of both
    ports. Another width, or a port that does both, has no model and stops the check.
    """
    ports = ["CLKA", "CLKB", "CEA", "CEB", "OCEA", "OCEB", "RSTA", "RSTB", "WEA", "WEB",
             *(f"CS{port}{k}" for port in "AB" for k in range(3))]
    buses = {name: _pins(name, bits) for name, bits in
             (("ADA", 14), ("ADB", 14), ("DIA", 18), ("DIB", 18))}
    outs = {name: _pins(name, 18) for name in ("DOA", "DOB")}
    slices = [f"INITVAL_{k:02X}" for k in range(64)]
    parameters = ", ".join([
        "parameter DATA_WIDTH_A = 18", "parameter DATA_WIDTH_B = 18",
        'parameter CLKAMUX = "CLKA"', 'parameter CLKBMUX = "CLKB"', 'parameter REGMODE_B = "NOREG"',
        *(f'parameter {name} = ""' for name in (
            "ASYNC_RESET_RELEASE", "CSDECODE_A", "CSDECODE_B", "GSR", "REGMODE_A", "RESETMODE",
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
             "  wire [35:0] data = {DIB, DIA};", "  reg [35:0] row = 0;", "  generate",
             "    if (CLKAMUX != \"CLKA\" || CLKBMUX != \"CLKB\" || REGMODE_B != \"NOREG\")",
             "      no_such_DP16KD edge_or_register();"]
    for port, act in (("A", "if (WEA{enable}) bytes[{at}] <= data[{low} +: 9];"),
                      ("B", "row[{low} +: 9] <= bytes[{at}];")):
        for count in (1, 2, 4):
            width, none = 9 * count, count.bit_length() - 1
            lines += [f"    {'else ' * (count > 1)}if (DATA_WIDTH_{port} == {width}) begin",
                      f"      always @(posedge CLK{port}) if (CE{port}) begin"]
            for k in range(count):
                enable = f" & ADA[{k}]" if count > 1 else ""
                at = f"{{AD{port}[13:{3 + none}]" + (f", {none}'d{k}" if none else "") + "}"
                lines.append("        " + act.format(enable=enable, at=at, low=9 * k))
            lines += ["      end", "    end"]
        lines.append(f"    else no_such_DP16KD width_{port}();")
    return "\n".join([
        *lines, "  endgenerate",
        f"  assign {{{', '.join(outs['DOB'] + outs['DOA'])}}} = "
        f"DATA_WIDTH_B == 36 ? row : {{row[17:0], 18'd0}};", "endmodule", ""])
