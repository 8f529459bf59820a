"""What a Verilated model does at the clock edge, as functions in their order."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = "Vcore___024root"


@dataclass(frozen=True)
class Edge:
    """``calls`` : name of each function and, of those that Verilator had written out between two
    calls, the lines; ``text`` : all of the model's code; ``constants`` : their declarations.
    """

    calls: list[tuple[str, list[str]]]
    text: str
    constants: list[str]


def find(folder: Path) -> Edge | None:
    """The clock edge of the model that Verilator wrote to ``folder``.

    Verilator has its functions called by one function, in which some short ones are written out:
    pieces between two calls become functions of their own. None, and then the model's ``eval`` is
    needed, if something else than the clock makes the model do anything, or if a piece has
    variables.
    """
    text = "".join(path.read_text() for path in sorted(folder.glob(f"{ROOT}__*.cpp")))
    body = re.search(rf"^void {ROOT}___eval_nba\(.*?^}}", text, re.S | re.M)
    head, _, rest = body[0].partition("    // Body\n") if body else ("", "", "")
    first, *lines, last, _ = rest.splitlines() if rest.count("\n") > 2 else [""] * 3
    if (f"{ROOT}___eval_phase__ico" in text or "// Locals" in head or last != "    }" or
            first != "    if ((1ULL & vlSelfRef.__VnbaTriggered[0U])) {" or "vlSymsp" in rest or
            any(not line.startswith(" " * 8) for line in lines)):
        return None
    calls = []
    for line in lines:
        call = re.fullmatch(rf"        ({ROOT}___nba_\w+)\(vlSelf\);", line)
        if call:
            calls.append((call[1], []))
        elif calls and calls[-1][1]:
            calls[-1][1].append(line)
        else:
            calls.append((f"edge_{len(calls)}", [line]))
    return Edge(calls, text, sorted(set(re.findall(r"^extern const .*;$", text, re.M))))


def header(edge: Edge | None) -> str:
    """``step.h``: the functions' declarations and ``EDGE_FUNCTIONS``; empty without an edge."""
    if edge is None:
        return ""
    lines = list(edge.constants)
    for name, piece in edge.calls:
        if piece:
            lines += [f"inline void {name}({ROOT}* vlSelf) {{",
                      "        auto& vlSelfRef = *vlSelf;", *piece, "}"]
        else:
            lines.append(f"void {name}({ROOT}*);")
    names = ", ".join(name for name, _ in edge.calls)
    return "\n".join([*lines, f"#define EDGE_FUNCTIONS {names}", ""])
