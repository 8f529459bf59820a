"""A number of each neuron that is kept from step to step, in a chain."""

from dataclasses import replace

from amaranth import Mux, Signal

from golden.base.qformat import QFormat
from rtl.layer.flow import Flow, Value, of
from rtl.parts.memory import WideMemory


class NeuronMemory:
    """A memory of H numbers; they count as 0 in a sequence's first step, so nothing is cleared.

    flow : of the cell that keeps them; name : unlike those of its other parts; fmt : their format.
    """

    def __init__(self, flow: Flow, name: str, fmt: QFormat):
        self.flow, self.name, self.fmt, self.geo = flow, name, fmt, flow.spec.geo
        flow.memories.append(("neurons", self.geo.neuron_rows, self.geo.G * fmt.width))

    def read(self, time: int) -> Value:
        """What the last step has left, at a time of at least 2: the row is asked for before."""
        self.asked, found = time - 1, of(self.fmt, time)
        host, width = self.flow.host, self.fmt.width
        if host is None:
            return found
        self.memory = WideMemory(self.geo.neuron_rows, self.geo.G * width, [], self.flow.spec.hw)
        self.flow.submodule(self.name, self.memory)
        host.m.d.comb += [self.memory.r_addr.eq(host.slot(self.asked).word),
                          self.memory.r_en.eq(host.pipe.en)]
        bits, first = [], host.slot(time).first
        for g in range(self.geo.G):
            one = Signal(found.shape, name=f"{self.name}_old{g}")
            host.m.d.comb += one.eq(Mux(first, 0, self.memory.r_data.word_select(g, width)))
            bits.append(one)
        return replace(found, bits=tuple(bits))

    def write(self, new: Value) -> None:
        """What this step leaves. A step lasts until it can be read."""
        new = self.flow.hold(new)
        self.flow.loop = max(self.flow.loop, new.time + 1 - self.asked)
        host, width = self.flow.host, self.fmt.width
        if host is None:
            return
        slot, memory = host.slot(new.time), self.memory
        enable = (slot.valid & host.pipe.en).replicate(len(memory.w_en))
        host.m.d.comb += [memory.w_addr.eq(slot.word), memory.w_en.eq(enable),
                          *(memory.w_data.word_select(g, width).eq(bits)
                            for g, bits in enumerate(new.bits))]
