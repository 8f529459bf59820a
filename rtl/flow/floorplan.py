"""Where the multipliers and block RAMs of a core stand on an LFE5U-85F.

nextpnr's placers spread logic well, but where nearly all block RAMs of a device are taken, the step
that makes their places legal throws a layer's memories across the device: the psmnist core with 8
lanes has 199 of 208, and the wires' length rose from 182,000 to 687,000 there. So these cells get
their places beforehand: a part of the device per layer, in it lane beside lane, and the mixer's
weights in the order of the neurons that they go to. The logic follows.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

DEVICE = "LFE5U-85F"
WIDTH, HEIGHT = 126, 95                         # tiles
GROUPS = [4 + 9 * g + 2 * (g > 6) for g in range(13)]       # columns; clock wires in the middle
# Kind of cell: (rows, (column in a group, name of the place))
PLACES = {
    "DP16KD": ((22, 46, 70, 82), ((0, "EBR0"), (2, "EBR1"), (4, "EBR2"), (6, "EBR3"))),
    "MULT18X18D": ((10, 34, 58), ((0, "MULT18_0"), (1, "MULT18_1"), (4, "MULT18_4"),
                                  (5, "MULT18_5"))),
}
ENGINE, MIXER = 0.46, 0.8                       # of a part's height
CROWDED = 0.5           # share of a kind's places from which on the placers need help
NUMBER = re.compile(r"\.(?:bank|lanes|tables)(\d+)\.")
LAYER = re.compile(r"layer(\d+)\.(\w+)\.")


@dataclass(frozen=True)
class Place:
    """A block of the device: tile and name."""

    x: int
    y: int
    name: str

    def __str__(self) -> str:
        return f"X{self.x}/Y{self.y}/{self.name}"


def places(kind: str) -> list[Place]:
    """All of a kind."""
    rows, columns = PLACES[kind]
    return [Place(x + column, y, name) for y in rows for x in GROUPS for column, name in columns]


def part(layer: int, layers: int) -> tuple[float, float, float, float]:
    """(x, y, width, height) of a layer's part: down the left half and up the right one."""
    width, rows = WIDTH / min(2, layers), -(-layers // 2)
    left = layer < rows
    row = layer if left else layers - 1 - layer
    return (0 if left else width), row * HEIGHT / rows, width, HEIGHT / rows


def wish(name: str, layers: int, banks: dict[str, int]) -> tuple[float, float] | None:
    """Where a cell would like to stand; None: it does not matter."""
    found = LAYER.search(name)
    if not found:
        return None
    x, y, width, height = part(int(found[1]), layers)
    number = NUMBER.search(name)
    along = (int(number[1]) + 0.5) / banks[group(name)] if number else 0.0
    share = MIXER if found[2] == "mixer" else ENGINE
    return x + along * width, y + share * height


def group(name: str) -> str:
    """Cells of one row of memories or multipliers have the same."""
    return NUMBER.sub(".#.", name).split("$")[0].partition(".products")[0]


def assign(cells: dict[str, str]) -> dict[str, Place]:
    """Places of the multipliers and block RAMs among ``cells``, name to type, that a layer has.

    Together they are as near as can be to where they would like to stand. Empty where the device
    is not crowded, or has too few places, which nextpnr will say in its words.
    """
    of_kind = {kind: [name for name, its in cells.items() if its == kind] for kind in PLACES}
    share = {kind: len(names) / len(places(kind)) for kind, names in of_kind.items()}
    if not CROWDED <= max(share.values()) <= 1:
        return {}
    layers = 1 + max((int(found[1]) for name in cells if (found := LAYER.search(name))), default=0)
    chosen = {}
    for kind, names in of_kind.items():
        banks = {}
        for name in names:
            if number := NUMBER.search(name):
                banks[group(name)] = max(banks.get(group(name), 0), int(number[1]) + 1)
        wishes = {name: at for name in names if (at := wish(name, layers, banks))}
        free = places(kind)
        cost = np.array([[abs(place.x - x) + abs(place.y - y) for place in free]
                         for x, y in wishes.values()]).reshape(len(wishes), len(free))
        chosen |= {name: free[k] for name, k in zip(wishes, linear_sum_assignment(cost)[1])}
    return chosen


def planned(folder: Path, device: str) -> str:
    """The netlist in ``folder`` for nextpnr: ``top.json``, or a copy of it with places."""
    if device != DEVICE:
        return "top.json"
    netlist = json.loads((folder / "top.json").read_text())
    cells = netlist["modules"]["top"]["cells"]
    chosen = assign({name: cell["type"] for name, cell in cells.items()})
    if not chosen:
        return "top.json"
    for name, place in chosen.items():
        cells[name]["attributes"]["BEL"] = str(place)
    (folder / "planned.json").write_text(json.dumps(netlist))
    return "planned.json"
