"""A Verilated model for many tracks at once: every variable becomes an array over the tracks.

Verilator's statements of the clock edge stay what they are, each in a loop over the tracks that the
compiler turns into vector instructions: ``a = b + c;`` becomes ``a[t] = b[t] + c[t];`` for all t.
Tracks that run in step agree in what controls them, so a condition is taken once for all of them,
and a memory is read as one row; where they do not agree, the statement is done track by track.
``together.h`` has the memories.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sim.native.edge import ROOT, Edge
from sim.native.statements import (ASSIGNED, UnknownForm, Variable, branches, closing, cut, index,
                                   overwritten, statements, variable_of)

TOGETHER = 8        # statements in a loop
AT_ONCE = 16        # conditions that are asked at once
FILES = 6           # reading the state's declaration takes a compiler longer than a function
ACCESS = re.compile(r"\bvlSelfRef\.(\w+)\(")


def write(edge: Edge, folder: Path, tracks: int) -> list[str]:
    """Write ``simd.h`` and the functions; returns the names of the files to compile.

    Raises :class:`sim.native.statements.UnknownForm`, with nothing written.
    """
    model = Model(edge, (folder / f"{ROOT}.h").read_text())
    parts = [model.parts(name, piece) for name, piece in edge.calls]
    lost = overwritten([body for _, body, _ in parts], [indent for *_, indent in parts])
    for k, (name, (local, body, indent)) in enumerate(zip(model.names, parts)):
        model.add(name, local, [text for j, text in enumerate(body) if (k, j) not in lost], indent)
    head = '#include "simd.h"\n' + "".join(f"{line}\n" for line in edge.constants)
    names = [f"simd{k}" for k in range(FILES)]
    code = [*model.functions, *model.mixed]
    (folder / "simd.h").write_text(model.header(tracks))
    for k, name in enumerate(names):
        (folder / f"{name}.cpp").write_text(head + "".join(code[k::FILES]))
    return names


@dataclass(frozen=True)
class Place:
    """Where statements stand: function, indentation, its local variables as parameters and as
    arguments."""

    name: str
    indent: str
    parameters: str
    arguments: str

    def at(self, indent: str) -> "Place":
        return Place(self.name, indent, self.parameters, self.arguments)


class Model:
    """The transformation's state: ``functions``, and ``mixed``, what they do track by track."""

    def __init__(self, edge: Edge, header: str):
        self.text, self.names = edge.text, [name for name, _ in edge.calls]
        self.variables = {}
        for line in header.splitlines():
            found = variable_of(line)
            if found:
                self.variables[found[0]] = found[1]
        self.inputs = re.findall(r"^\s*VL_IN\d*\((\w+)", header, re.M)
        self.functions, self.mixed = [], []
        self.order = {}     # of the variables that are assigned

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
        found = [variable_of(line) for line in declared if line not in zeros]
        if not all(found) or any(variable.kind == "memory" for _, variable in found):
            raise UnknownForm(f"local variables of {name}")
        return dict(found), statements([*zeros, *rest.splitlines()], "    "), "    "

    def add(self, name: str, local: dict[str, Variable], body: list[str], indent: str) -> None:
        """A function with its statements in loops over the tracks."""
        code = [f"void {name}(State& __restrict vlSelfRef) {{"]
        code += [variable.declare(key) for key, variable in local.items()]
        indexed = []
        for text in body:
            self.order |= dict.fromkeys(match[1] for match in ASSIGNED.finditer(text))
            text = cut(self.expanded(text), self.variables | local)
            text = index(text, self.variables, r"\bvlSelfRef\.(\w+)")
            indexed.append(index(text, local, r"(?<![.\w])([A-Za-z_]\w*)") if local else text)
        parameters = "".join(f", {local[key].type} (&{key})" + (
            f"[{local[key].size}]" if local[key].kind != "scalar" else "") + "[TRACKS]"
            for key in local)
        before = len(self.mixed)
        arguments = "".join(f", {key}" for key in local)
        code += self.walk(indexed, Place(name, indent, parameters, arguments))
        heads = [mixed.partition(" {")[0] + ";" for mixed in self.mixed[before:]]
        self.functions.append("\n".join([*heads, *code, "}", ""]))

    def expanded(self, text: str) -> str:
        """A wide constant's assignment, word by word."""
        return re.sub(r"VL_ASSIGN_W\(\d+, vlSelfRef\.(\w+), (\w+)\);", lambda m: " ".join(
            f"vlSelfRef.{m[1]}[{k}U] = {m[2]}[{k}U];"
            for k in range(self.variables[m[1]].size)), text)

    def walk(self, body: list[str], place: Place) -> list[str]:
        """Statements, several in a loop; conditions and memories' rows outside of the loops."""
        code = []
        for kind, texts in runs(body):
            if kind == "loop":
                code += ["    EACH {", *texts, "    }"]
            elif not texts[0].lstrip().startswith("if "):
                code += rows_together(texts)
            else:
                found = [line for text in texts for line in self.branch(text, place)]
                if len(texts) > 1:      # mostly none holds: then what they do cannot change them
                    some = " | ".join(f"(({branches(text, place.indent)[0]}) != 0)"
                                      for text in texts)
                    found = [f"    if (COUNT({some})) {{", *found, "    }"]
                code += found
        return code

    def branch(self, text: str, place: Place) -> list[str]:
        """An ``if``: one side for all tracks, or track by track."""
        condition, then, (other, indent) = branches(text, place.indent)
        mixed = f"{place.name}_{len(self.mixed)}"
        self.mixed.append(f"void {mixed}(State& vlSelfRef{place.parameters}) {{\n    ONE_BY_ONE "
                          f"{{\n{text}\n    }}\n}}\n")
        return [f"    {{ const int taken = COUNT({condition});", "    if (taken == 0) {",
                *self.walk(other, place.at(indent)), "    } else if (taken == TRACKS) {",
                *self.walk(then, place.at(place.indent + "    ")),
                f"    }} else {mixed}(vlSelfRef{place.arguments}); }}"]

    def header(self, tracks: int) -> str:
        """``simd.h``: the state of all tracks, how it starts, the functions."""
        # As they are assigned: the processor fetches the next line before it is asked for.
        order = {name: None for name in self.order if name in self.variables} | self.variables
        fields = [self.variables[name].declare(name) for name in order]
        load = [f"    s.{name}[t] = r.{name};" if variable.kind == "scalar" else
                f"    for (int k = 0; k < {variable.size}; k++) " + (
                    f"s.{name}.fill(k, r.{name}[k]);" if variable.kind == "memory" else
                    f"s.{name}[k][t] = r.{name}[k];")
                for name, variable in self.variables.items()]
        return "\n".join([
            "#pragma once", '#include "verilated.h"', f"constexpr int TRACKS = {tracks};",
            '#include "together.h"', "struct alignas(64) State {", *fields, "};",
            "template <class Root> void load(State& s, const Root& r, int t) {", *load, "}",
            "inline void copy_inputs(State& s, int from, int to) {",
            *(f"    s.{name}[to] = s.{name}[from];" for name in self.inputs), "}",
            *(f"void {name}(State&);" for name in self.names),
            f"#define EDGE_FUNCTIONS {', '.join(self.names)}", ""])


def runs(body: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Statements that follow each other, with what is made of them: ``if``, ``memory``, ``loop``.

    Of several ``if`` none has an ``else``. Several of ``memory`` read the same row, which none of
    them changes; one that writes is alone.
    """
    key, found = ("", ""), []
    for text in body:
        rows = accesses(text)
        kind = "if" if text.lstrip().startswith("if ") else "memory" if rows else "loop"
        now = (kind, "\n".join(rows.values()))
        most = AT_ONCE if kind == "if" else TOGETHER
        alone = (kind == "if" and "} else " in text) or target(text) in rows or \
            changes([text], rows)
        if found and (now != key or len(found) == most or alone or changes(found, rows)):
            yield key[0], found
            found = []
        found.append(text)
        key = ("alone" if alone else kind, now[1])
    if found:
        yield key[0], found


def changes(texts: list[str], rows: dict[str, str]) -> bool:
    """Whether one of some assignments is to what a row is taken from."""
    return any(target(text) in row for text in texts for row in rows.values())


def target(text: str) -> str:
    """What an assignment assigns."""
    return text.partition(" = ")[0].strip()


def accesses(text: str) -> dict[str, str]:
    """Memories' elements in a statement, with the expression of their row."""
    found = {}
    for match in ACCESS.finditer(text):
        end = closing(text, match.end() - 1)
        found[text[match.start():end + 1]] = text[match.end():end - len(", t")]
    return found


def rows_together(texts: list[str]) -> list[str]:
    """Statements with memories of the same row, in a loop if all tracks mean the same one."""
    found = {access: row for text in texts for access, row in accesses(text).items()}
    rows = list(dict.fromkeys(found.values()))
    apart = ["    ONE_BY_ONE {", *texts, "    }"]
    if any(ACCESS.search(row) for row in rows):
        return apart
    each, tail = "\n".join(texts), []
    head = [f"    const IData row{k} = FIRST({row});" for k, row in enumerate(rows)]
    for k, (access, row) in enumerate(found.items()):
        name = access.partition("(")[0]
        head.append(f"    auto line{k} = {name}.line(row{rows.index(row)});")
        if any(target(text) == access for text in texts):
            tail.append(f"    {name}.put(row{rows.index(row)}, line{k});")
        each = each.replace(access, f"line{k}[t]")
    same = " && ".join(f"SAME({row})" for row in rows)
    return [f"    if ({same}) {{", *head, "    EACH {", each, "    }", *tail,
            "    } else", *apart]
