"""A chain: operations that compute each neuron for itself, one cell behind the other.

It has no control and no handshake of its own: it is part of a pipeline, its host's, and makes the
registers that its cells need. One memory holds the parameters of all its cells.
"""

from collections.abc import Mapping
from dataclasses import replace

from amaranth.lib import data

from rtl.cut import Wired
from rtl.layer.cells import CELLS, Cell, Field
from rtl.layer.flow import Flow, Value
from rtl.parts.config import HardwareError
from rtl.parts.memory import ConfigMemory, Region, pack_rows


class Chain:
    """The cells of some operations, and what they are together.

    Parameters
    ----------
    spec : LayerSpec
    name : str
        Of its signals, and of its cells' memories.
    wires : operations with their formats, in order
    inputs : dict of str to Value
        What is there in front, by name: ranges and times.
    start : int
        Enabled cycles after a word's transfer from which its parameters can be used.
    row : str
        Name of the region of the parameters.

    Attributes
    ----------
    flow : Flow
        How it runs: ``loop``, what is counted and shown, without hardware.
    values : dict of str to Value
        By name, all that is there behind it.
    """

    def __init__(self, spec, name: str, wires: tuple[Wired, ...], inputs: Mapping[str, Value],
                 start: int, row: str):
        self.spec, self.name, self.wires, self.inputs = spec, name, wires, dict(inputs)
        self.start, self.row = start, row
        self.cells: list[Cell] = []
        for k, wire in enumerate(wires):
            if type(wire.op) not in CELLS:
                raise HardwareError(
                    f"layer {spec.number}: {wire.op} has no component in the RTL, which has "
                    f"{', '.join(kind.__name__ for kind in CELLS)} for single neurons; run the "
                    f"network with python -m quant.evaluate")
            self.cells.append(CELLS[type(wire.op)](wire, spec, f"{name}{k}"))
        found = {cell.name(what): field for cell in self.cells
                 for what, field in cell.fields().items()}
        order = sorted(found, key=lambda name: not found[name].control)     # stable
        self.fields: dict[str, Field] = {name: found[name] for name in order}
        self.flow = Flow(spec, name)
        self.values = self._run(self.flow, self.inputs)

    def regions(self) -> list[Region]:
        """The row of parameters, if there are any, and the cells' own memories."""
        found, G = [], self.spec.geo.G
        if self.fields:
            columns = [(field.raw[g::G], field.width) for g in range(G)
                       for field in self.fields.values()]
            names = ", ".join(name.partition("_")[2] for name in self.fields)
            found.append(Region(self.row, sum(width for _, width in columns), pack_rows(columns),
                                f"{G} x ({names}); element j of row r is neuron number r * {G} "
                                f"+ j"))
        return found + [region for cell in self.cells for region in cell.regions()]

    def _run(self, flow: Flow, values: dict[str, Value], rows=None) -> dict[str, Value]:
        flow.row = {name: field.value(self.start, rows and rows[name])
                    for name, field in self.fields.items()}
        values = dict(values)
        for cell in self.cells:
            made = cell.build(flow, *(values[name] for name in cell.reads))
            values[cell.op.makes] = made
        return values

    def build(self, host, inputs: Mapping[str, tuple], register: bool = False):
        """Its hardware in a host's pipeline. Returns (values by name, the flow).

        inputs : the bits of ``self.inputs``. register : a register lies behind the memory of the
        parameters.
        """
        flow = Flow(self.spec, self.name, host)
        rows = None
        if self.fields:
            shapes = {name: field.value(0).shape for name, field in self.fields.items()}
            layout = data.ArrayLayout(data.StructLayout(shapes), self.spec.geo.G)
            memory = ConfigMemory(self.spec.regions[self.row], self.spec.hw, register)
            host.memory(self.row.replace(".", "_"), memory)
            at = self.start - 1 - register
            host.m.d.comb += [memory.addr.eq(host.slot(at).word), memory.en.eq(host.pipe.en)]
            row = data.View(layout, memory.data)
            rows = {name: tuple(row[g][name] for g in range(self.spec.geo.G)) for name in shapes}
        given = {name: replace(value, bits=tuple(inputs[name]))
                 for name, value in self.inputs.items()}
        return self._run(flow, given, rows), flow
