"""Where a component's signals are in its Verilog ports."""

from dataclasses import dataclass

from amaranth.hdl import Shape
from amaranth.lib import data, wiring


@dataclass(frozen=True)
class Field:
    """Bits ``low .. low + width - 1`` of a port."""

    port: str
    low: int
    width: int

    def of(self, value: int) -> int:
        """This field of the port's value."""
        return value >> self.low & ((1 << self.width) - 1)


def fields(component: wiring.Component, member: str) -> dict[str, Field]:
    """Fields of one member of a component's signature, by name.

    An interface has its ports' names (``payload``, ``valid``), a port with a structure its fields'
    names, and an interface's port with a structure both (``x``, ``last``).
    """
    found = {}
    for path, port, _ in component.signature.flatten(component):
        if path[0] != member:
            continue
        name = "__".join(map(str, path))
        shape = port.shape
        found[str(path[-1])] = Field(name, 0, Shape.cast(shape).width)
        if isinstance(shape, data.Layout):
            found |= {str(key): Field(name, field.offset, Shape.cast(field.shape).width)
                      for key, field in shape}
    return found


def port_names(component: wiring.Component) -> list[str]:
    """Every Verilog port, clock and reset included."""
    return ["clk", "rst"] + ["__".join(map(str, path)) for path, _, _ in
                             component.signature.flatten(component)]


def at_once(addr: int) -> int:
    """Cycles from a configuration write of an address to the next one, as few as there are."""
    return 1
