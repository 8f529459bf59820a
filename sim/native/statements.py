"""Verilator's code as text: variables, assignments, branches.

Its statements have a small grammar: assignments, ``if``, reads and writes of memories, a few
functions. Whatever else there is raises :class:`UnknownForm`.
"""

import re
from dataclasses import dataclass

TYPE = r"(?:C|S|I|Q)Data/\*(\d+):0\*/"
CUTS = {8: "0xffU", 16: "0xffffU"}      # widths at which Verilator's narrow types cut
ASSIGNED = re.compile(r"^\s*(?:vlSelfRef\.)?(\w+)\s*(?=[\[=])", re.M)

NEXT = re.compile(r"\bvlSelfRef\.(__Vdly__\w+)")


class UnknownForm(Exception):
    """Verilator's code has something that this module does not know."""


@dataclass(frozen=True)
class Variable:
    """``scalar``, ``wide`` (of ``size`` words) or ``memory`` (of ``size`` rows).

    bits : of a number, as the hardware has it.
    """

    kind: str
    bits: int
    size: int = 1

    @property
    def type(self) -> str:
        """Of two widths alone: a narrow number among others has the compiler cut a whole loop into
        vectors of fewer bits."""
        return "QData" if self.bits > 32 else "IData"

    def declare(self, name: str) -> str:
        if self.kind == "memory":
            return f"    Memory<{self.type}, {self.size}> {name};"
        words = "" if self.kind == "scalar" else f"[{self.size}]"
        return f"    alignas(64) {self.type} {name}{words}[TRACKS];"


def variable_of(line: str) -> tuple[str, Variable] | None:
    """Name and kind of the variable that a line of Verilator's declares."""
    line = line.strip()
    if port := re.fullmatch(r"VL_(?:IN|OUT)(?:8|16|64|W|)\((\w+),(\d+),0(?:,(\d+))?\);", line):
        return port[1], Variable("wide", 32, int(port[3])) if port[3] else \
            Variable("scalar", int(port[2]) + 1)
    if scalar := re.fullmatch(rf"{TYPE} (\w+);", line):
        return scalar[2], Variable("scalar", int(scalar[1]) + 1)
    if wide := re.fullmatch(r"VlWide<(\d+)>/\*[\d:]+\*/ (\w+);", line):
        return wide[2], Variable("wide", 32, int(wide[1]))
    if memory := re.fullmatch(rf"VlUnpacked<{TYPE}, (\d+)> (\w+);", line):
        return memory[3], Variable("memory", int(memory[1]) + 1, int(memory[2]))
    return None


def cut(text: str, variables: dict[str, Variable]) -> str:
    """Assignments to 8 and 16 bits, which Verilator's narrow types cut, with masks in their place.

    A value for any other width has its mask already.
    """
    out, at = [], 0
    for match in ASSIGNED.finditer(text):
        mask = CUTS.get(variables[match[1]].bits) if match[1] in variables else None
        if not mask:
            continue
        begin = match.end()
        if text[begin] == "[":
            begin = closing(text, begin) + 1
        begin = begin + re.compile(r"\s*= |").match(text, begin).end() - begin
        end = text.find(";", begin)
        if text[begin - 2:begin] != "= " or end < 0:
            raise UnknownForm(text[match.start():match.start() + 80])
        out += [text[at:begin], f"{mask} & ({text[begin:end]})"]
        at = end
    return "".join([*out, text[at:]])


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
    depth, steps = 0, {text[start]: 1, {"[": "]", "(": ")"}[text[start]]: -1}
    for at in range(start, len(text)):
        depth += steps.get(text[at], 0)
        if depth == 0:
            return at
    raise UnknownForm(text[start:start + 80])


def index(text: str, variables: dict[str, Variable], pattern: str) -> str:
    """``a`` becomes ``a[t]``, ``a[i]`` becomes ``a[i][t]``, and of a memory ``a(i, t)``."""
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
            inner, at = index(text[bracket.end():end], variables, pattern), end + 1
            out.append(f"({inner}, t)" if variables[match[1]].kind == "memory" else f"[{inner}][t]")
        else:
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


def overwritten(bodies: list[list[str]], indents: list[str]) -> set[tuple[int, int]]:
    """Numbers of function and statement where a copy is made that nothing ever reads.

    Verilator lets a register's next value start as the one before, even where both sides of an
    ``if`` make another one.
    """
    mentions, lost = {}, set()
    for k, body in enumerate(bodies):
        for j, text in enumerate(body):
            for name in dict.fromkeys(NEXT.findall(text)):
                mentions.setdefault(name, []).append((k, j))
    for name, places in mentions.items():
        for (k, j), (k2, j2) in zip(places, places[1:]):
            copies = re.fullmatch(rf"\s*vlSelfRef\.{name}\s*= vlSelfRef\.\w+;", bodies[k][j])
            if copies and makes(bodies[k2][j2], name, indents[k2]):
                lost.add((k, j))
    return lost


def makes(text: str, name: str, indent: str) -> bool:
    """Whether a statement gives a variable a value, whatever it was."""
    if not text.lstrip().startswith("if "):
        made = re.match(rf"\s*vlSelfRef\.{name}\s*= ", text)
        return bool(made) and name not in NEXT.findall(text[made.end():])
    condition, then, (other, other_indent) = branches(text, indent)
    if name in NEXT.findall(condition):
        return False
    for side, step in ((then, indent + "    "), (other, other_indent)):
        first = next((one for one in side if name in NEXT.findall(one)), "")
        if not makes(first, name, step):
            return False
    return True
