"""What the configuration bus writes to load an artifact into a core of the same shape."""

from amaranth.lib import wiring

from rtl.coefficients import EngineMemories
from rtl.core import Core
from rtl.lfsr import WordSource
from rtl.memory import WORD, ConfigMemory, Region


def parts(whole) -> list:
    """A component or an engine's memories with everything inside, each part once."""
    found = {}

    def look(part):
        if id(part) not in found:
            found[id(part)] = part
            if isinstance(part, (wiring.Component, EngineMemories)):
                for child in vars(part).values():
                    for item in child if isinstance(child, list) else [child]:
                        look(item)

    look(whole)
    return list(found.values())


def rows_of(whole) -> dict[str, list[int]]:
    """Rows of every region of a component or an engine's memories, by the region's name."""
    found = {}
    for part in parts(whole):
        if isinstance(part, ConfigMemory):
            found[part.region.name] = part.init
        elif isinstance(part, WordSource):
            found[part.region.name] = [part.start]
    return found


def contents(core: Core) -> list[tuple[Region, list[int]]]:
    """Every region of the core's map with its rows, in the map's order."""
    found = rows_of(core)
    return [(region, found[region.name]) for region in core.map.regions]


def writes(core: Core) -> list[tuple[int, int]]:
    """(address, 32-bit word) pairs that give any core with the same map this one's network."""
    return [(region.base + row * region.stride + chunk, value >> WORD * chunk & (1 << WORD) - 1)
            for region, rows in contents(core)
            for row, value in enumerate(rows) for chunk in range(region.chunks)]
