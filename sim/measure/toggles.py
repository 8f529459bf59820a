"""Toggles of a core's nets, from a trace (VCD) of its first steps."""

from collections.abc import Iterable
from dataclasses import dataclass

MOST_STEPS = 200
PART = 3            # of TOP, the wrapper, the core, the core's submodule, ...


@dataclass(frozen=True)
class Toggles:
    """Bits that changed. The clock's are not in it; a net with several names counts once."""

    total: int
    by_part: dict[str, int]     # by the submodule of the core in which a net is declared last
    nets: int                   # bits that there are


def read(lines: Iterable[str], clock: str = "clk") -> Toggles:
    """Count the changes of a VCD file's nets from its first time stamp on; x and z are zeros.

    Parameters
    ----------
    lines : iterable of str
        Of the file.
    clock : str
        Name of the nets that are left out.
    """
    part_of, width, scope, left_out = {}, {}, [], set()
    lines = iter(lines)
    for line in lines:
        words = line.split()
        if not words:
            continue
        if words[0] == "$scope":
            scope.append(words[2])
        elif words[0] == "$upscope":
            scope.pop()
        elif words[0] == "$var":
            size, code, name = int(words[2]), words[3], words[4]
            if name == clock:
                left_out.add(code)
            part_of[code] = scope[PART] if len(scope) > PART else "core"
            width[code] = size
        elif words[0] == "$enddefinitions":
            break
    last: dict[str, int] = {}
    count = dict.fromkeys(part_of, 0)
    for line in lines:
        first = line[0]
        if first == "b":
            text, code = line[1:].split()
            value = int(text.replace("x", "0").replace("z", "0"), 2)
        elif first in "01xz":
            value, code = int(first == "1"), line[1:].strip()
        else:
            continue
        if code in last:
            count[code] += (value ^ last[code]).bit_count()
        last[code] = value
    by_part: dict[str, int] = {}
    for code, number in count.items():
        if code not in left_out:
            by_part[part_of[code]] = by_part.get(part_of[code], 0) + number
    return Toggles(sum(by_part.values()), by_part,
                   sum(bits for code, bits in width.items() if code not in left_out))
