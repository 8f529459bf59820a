"""The cell of leaky integrate-and-fire neurons: a membrane of each, in a memory."""

from dataclasses import replace

from amaranth import Mux, Signal

from quant.integer.membrane import Integrate
from quant.integer.operation import Tensor
from rtl.layer.cells import CELLS, Cell, Field, limited
from rtl.layer.flow import Flow, Value, of
from rtl.layer.neuron_memory import NeuronMemory
from rtl.parts.memory import ConfigRegister, Region


class Membrane(Cell):
    """``u <- saturate(round(leak v + y))``, a spike where ``u >= theta``, then the reset.

    A multiplier, three adders and a comparator for each step of a word, one behind the other, and a
    memory of H membranes.
    """

    op: Integrate

    def fields(self):
        found = {"leak": Field.of(self.op.leak)}
        if self.spec.geo.layers > 1:        # each layer has another threshold
            theta = self.op.theta
            found["theta"] = Field.of(Tensor(theta.raw.repeat(self.spec.geo.H), theta.fmt))
        return found

    def regions(self):
        theta = self.op.theta
        if self.spec.geo.layers > 1:
            return []
        return [Region(self.name("theta"), theta.fmt.width, (int(theta.raw),),
                       f"threshold of all neurons, {theta.fmt}", register=True)]

    def build(self, flow, y):
        reset = self.op.reset == "subtract"
        y, = flow.together(flow.plain(y))
        y = flow.at(y, max(y.time, 2))
        memory = NeuronMemory(flow, f"{self.key}_membranes", self.op.v)
        v, leak = memory.read(y.time), flow.param(self.name("leak"), y.time)
        found, theta = [], None
        for now in flow.each_step(y):       # it needs what the one before it has left
            leak = flow.at(leak, v.time)
            leaked = flow.product(v, leak)
            u, over = flow.together(*limited(flow, flow.sum(leaked, now), self.op.v))
            theta = self._theta(flow, theta, u.time)
            s = flow.made(lambda u, theta: u >= theta, 0, 1, 0, u, theta, what="fires")
            v = flow.made(lambda u, s, theta: Mux(s, u - theta if reset else 0, u),
                          u.lo, u.hi, u.f_bits, u, s, theta, what="v")
            found.append((u, over, s))
        memory.write(v)
        u, over, s = (flow.joined(list(each)) for each in zip(*found))
        flow.over.append(over)
        flow.shown.append((u, "membrane"))
        return s

    def _theta(self, flow: Flow, before: Value | None, time: int) -> Value:
        """The threshold, beside each membrane; before : that of the step before."""
        if self.spec.geo.layers > 1:
            return flow.at(before or flow.row[self.name("theta")], time)
        if before:
            return replace(before, time=time)       # it is there at any time
        found = of(self.op.theta.fmt, time)
        if flow.host is None:
            return found
        register = ConfigRegister(self.spec.regions[self.name("theta")], self.spec.hw.spread)
        flow.host.memory(f"{self.key}_theta", register)
        bits = Signal(found.shape, name=f"{self.key}_threshold")
        flow.host.m.d.comb += bits.eq(register.data)
        return replace(found, bits=(bits,) * self.spec.geo.G)


CELLS[Integrate] = Membrane
