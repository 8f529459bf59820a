"""A Verilated model for many tracks at once: every variable becomes an array over the tracks.

Verilator's statements of the clock edge stay what they are, each in a loop over the tracks that the
compiler turns into vector instructions: ``a = b + c;`` becomes ``a[t] = b[t] + c[t];`` for all t.
Tracks that run in step agree in what controls them, so a condition is taken once for all of them,
and a memory is read as one row; where they do not agree, the statement is done track by track.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from sim.native.edge import ROOT, Edge

TOGETHER = 8        # statements in a loop
FILES = 6           # reading the state's declaration takes a compiler longer than a function
TYPE = r"(CData|SData|IData|QData)/\*[\d:]+\*/"
PORTS = {"8": "CData", "16": "SData", "": "IData", "64": "QData", "W": "IData"}


class UnknownForm(Exception):
    """Verilator's code has something that this module does not know."""


@dataclass(frozen=True)
class Variable:
    """``scalar``, ``wide`` (of ``size`` words) or ``memory`` (of ``size`` rows)."""

    kind: str
    type: str
    size: int = 1

    def declare(self, name: str) -> str:
        rows = "" if self.kind == "scalar" else f"[{self.size}]"
        return f"    alignas(64) {self.type} {name}{rows}[TRACKS];"


def write(edge: Edge, folder: Path, tracks: int) -> list[str]:
    """Write ``simd.h`` and the functions; returns the names of the files to compile.

    Raises :class:`UnknownForm`, with nothing written.
    """
    model = Model(edge, (folder / f"{ROOT}.h").read_text())
    for name, piece in edge.calls:
        model.add(name, *model.parts(name, piece))
    head = '#include "simd.h"\n' + "".join(f"{line}\n" for line in edge.constants)
    names = [f"simd{k}" for k in range(FILES)]
    code = [*model.functions, *model.mixed]
    (folder / "simd.h").write_text(model.header(tracks))
    for k, name in enumerate(names):
        (folder / f"{name}.cpp").write_text(head + "".join(code[k::FILES]))
    return names


class Model:
    """The transformation's state: ``functions``, and ``mixed``, what they do track by track."""

    def __init__(self, edge: Edge, header: str):
        self.text, self.names = edge.text, [name for name, _ in edge.calls]
        self.variables = {}
        for line in header.splitlines():
            found = _variable(line)
            if found:
                self.variables[found[0]] = found[1]
        self.inputs = re.findall(r"^\s*VL_IN\d*\((\w+)", header, re.M)
        self.functions, self.mixed = [], []

    def parts(self, name: str, piece: list[str]) -> tuple[dict[str, Variable], list[str], str]:
        """Local variables, statements and indentation of a function."""
        if piece:
            return {}, statements(piece, " " * 8), " " * 8
        body = re.search(rf"^void {name}\({ROOT}\* vlSelf\) \{{\n(.*?)^\}}", self.text, re.S | re.M)
        if not body:
            raise UnknownForm(f"function {name}")
        head, _, rest = body[1].partition("    // Body\n")
        declared = head.partition("    // Locals\n")[2].splitlines()
        zeros = [line for line in declared if re.fullmatch(r"    \w+ = 0;", line)]
        found = [_variable(line) for line in declared if line not in zeros]
        if not all(found):
            raise UnknownForm(f"local variables of {name}")
        return dict(found), statements([*zeros, *rest.splitlines()], "    "), "    "

    def add(self, name: str, local: dict[str, Variable], body: list[str], indent: str) -> None:
        """A function with its statements in loops over the tracks."""
        code = [f"void {name}(State& __restrict vlSelfRef) {{"]
        code += [variable.declare(key) for key, variable in local.items()]
        indexed = []
        for text in body:
            text = index(self.expanded(text), self.variables, r"\bvlSelfRef\.(\w+)")
            indexed.append(index(text, local, r"(?<![.\w])([A-Za-z_]\w*)") if local else text)
        parameters = "".join(f", {local[key].type} (&{key})" + (
            f"[{local[key].size}]" if local[key].kind != "scalar" else "") + "[TRACKS]"
            for key in local)
        before = len(self.mixed)
        code += self.walk(name, indexed, indent, parameters, "".join(f", {key}" for key in local))
        heads = [mixed.partition(" {")[0] + ";" for mixed in self.mixed[before:]]
        self.functions.append("\n".join([*heads, *code, "}", ""]))

    def expanded(self, text: str) -> str:
        """A wide constant's assignment, word by word."""
        return re.sub(r"VL_ASSIGN_W\(\d+, vlSelfRef\.(\w+), (\w+)\);", lambda m: " ".join(
            f"vlSelfRef.{m[1]}[{k}U] = {m[2]}[{k}U];"
            for k in range(self.variables[m[1]].size)), text)

    def walk(self, name: str, body: list[str], indent: str, parameters: str,
             arguments: str) -> list[str]:
        """Statements, several in a loop; conditions and memories' rows outside of the loops."""
        code, together = [], []

        def close() -> None:
            if together:
                code.extend(["    EACH {", *together, "    }"])
                together.clear()
        for text in body:
            rows = self.rows(text)
            if text.lstrip().startswith("if "):
                close()
                condition, then, other = branches(text, indent)
                step = indent + "    "
                mixed = f"{name}_{len(self.mixed)}"
                self.mixed.append(f"void {mixed}(State& vlSelfRef{parameters}) {{\n    ONE_BY_ONE "
                                  f"{{\n{text}\n    }}\n}}\n")
                code += [f"    {{ const int taken = COUNT({condition});", "    if (taken == 0) {",
                         *self.walk(name, *other, parameters, arguments),
                         "    } else if (taken == TRACKS) {",
                         *self.walk(name, then, step, parameters, arguments),
                         f"    }} else {mixed}(vlSelfRef{arguments}); }}"]
            elif rows:
                close()
                whole, named = text, ""
                for k, row in enumerate(rows):
                    whole = whole.replace(f"[{row}][t]", f"[row{k}][t]")
                    named += f" const IData row{k} = FIRST({row});"
                same = " && ".join(f"SAME({row})" for row in rows)
                code += [f"    if ({same}) {{{named}", "    EACH {", whole, "    }",
                         "    } else ONE_BY_ONE {", text, "    }"]
            else:
                together.append(text)
                if len(together) == TOGETHER:
                    close()
        close()
        return code

    def rows(self, text: str) -> list[str]:
        """Different expressions by which memories are indexed in a statement, if not constant."""
        found = {}
        for match in re.finditer(r"\bvlSelfRef\.(\w+)\[", text):
            if self.variables[match[1]].kind == "memory":
                row = text[match.end():closing(text, match.end() - 1)]
                if "[t]" in row:
                    found[row] = None
        return list(found)

    def header(self, tracks: int) -> str:
        """``simd.h``: the state of all tracks, how it starts, the functions."""
        fields = [variable.declare(name) for name, variable in self.variables.items()]
        load = [f"    s.{name}[t] = r.{name};" if variable.kind == "scalar" else
                f"    for (int k = 0; k < {variable.size}; k++) s.{name}[k][t] = r.{name}[k];"
                for name, variable in self.variables.items()]
        return "\n".join([
            "#pragma once", '#include "verilated.h"', f"constexpr int TRACKS = {tracks};",
            "#define ONE_BY_ONE for (int t = 0; t < TRACKS; t++)",
            '#define EACH _Pragma("GCC ivdep") ONE_BY_ONE',
            "#define COUNT(c) ({ IData n_ = 0; ONE_BY_ONE n_ += IData((c) != 0); n_; })",
            "#define FIRST(row) ({ const int t = 0; static_cast<IData>(row); })",
            "#define SAME(row) ({ const IData first_ = FIRST(row); IData other_ = 0; "
            "ONE_BY_ONE other_ |= IData(row) ^ first_; !other_; })",
            "struct alignas(64) State {", *fields, "};",
            "template <class Root> void load(State& s, const Root& r, int t) {", *load, "}",
            "inline void copy_inputs(State& s, int from, int to) {",
            *(f"    s.{name}[to] = s.{name}[from];" for name in self.inputs), "}",
            *(f"void {name}(State&);" for name in self.names),
            f"#define EDGE_FUNCTIONS {', '.join(self.names)}", ""])


def _variable(line: str) -> tuple[str, Variable] | None:
    """Name and kind of the variable that a line of Verilator's declares."""
    line = line.strip()
    if port := re.fullmatch(r"VL_(?:IN|OUT)(8|16|64|W|)\((\w+),\d+,\d+(?:,(\d+))?\);", line):
        words = int(port[3] or 1)
        return port[2], Variable("wide" if port[3] else "scalar", PORTS[port[1]], words)
    if scalar := re.fullmatch(rf"{TYPE} (\w+);", line):
        return scalar[2], Variable("scalar", scalar[1])
    if wide := re.fullmatch(r"VlWide<(\d+)>/\*[\d:]+\*/ (\w+);", line):
        return wide[2], Variable("wide", "IData", int(wide[1]))
    if memory := re.fullmatch(rf"VlUnpacked<{TYPE}, (\d+)> (\w+);", line):
        return memory[3], Variable("memory", memory[1], int(memory[2]))
    return None


def statements(lines: list[str], indent: str) -> list[str]:
    """Lines put together to statements, whose first line has just this indentation."""
    found = []
    for line in filter(str.strip, lines):
        if line.startswith(indent) and line[len(indent)] not in " }":
            found.append([line])
        elif found:
            found[-1].append(line)
        else:
            raise UnknownForm(line)
    return ["\n".join(text) for text in found]


def closing(text: str, start: int) -> int:
    """Where the bracket that opens at ``start`` is closed."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"[": 1, "]": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise UnknownForm(text[start:start + 80])


def index(text: str, variables: dict[str, Variable], pattern: str) -> str:
    """``a`` becomes ``a[t]`` and ``a[i]`` becomes ``a[i][t]``."""
    out, at = [], 0
    for match in re.finditer(pattern, text):
        if match.start() < at:      # inside the brackets of one before
            continue
        if match[1] not in variables:
            if pattern.startswith(r"\b"):
                raise UnknownForm(match[0])
            continue
        out.append(text[at:match.end()])
        at = match.end()
        if variables[match[1]].kind != "scalar":
            bracket = re.compile(r"\s*\[").match(text, at)
            if not bracket:
                raise UnknownForm(text[match.start():match.end() + 20])
            end = closing(text, bracket.end() - 1)
            out.append(f"[{index(text[bracket.end():end], variables, pattern)}]")
            at = end + 1
        out.append("[t]")
    return "".join([*out, text[at:]])


def branches(text: str, indent: str) -> tuple[str, list[str], tuple[list[str], str]]:
    """Condition, statements if true, and (statements if false, their indentation)."""
    lines, step = text.splitlines(), indent + "    "
    head = next((k for k, line in enumerate(lines) if line.endswith(" {")), None)
    middle = [k for k, line in enumerate(lines) if line.startswith(indent + "} else ")]
    if head is None or lines[-1] != indent + "}":
        raise UnknownForm(lines[0])
    condition = "\n".join(lines[:head + 1]).partition("if ")[2][:-2]
    end = middle[0] if middle else len(lines) - 1
    then = statements(lines[head + 1:end], step)
    if not middle:
        return condition, then, ([], step)
    rest = lines[end][len(indent) + len("} else "):]
    if rest == "{":
        return condition, then, (statements(lines[end + 1:-1], step), step)
    return condition, then, (["\n".join([indent + rest, *lines[end + 1:]])], indent)
