"""Hardware: the cell that computes the operation for each neuron."""

from amaranth import Mux

from leaky.operation import Leak
from rtl.layer.cells import CELLS, Cell, Field, limited
from rtl.layer.neuron_memory import NeuronMemory


class Leaking(Cell):
    """A multiplier, three adders, a comparator and a memory of H membranes."""

    def fields(self):
        return {"leak": Field.of(self.op.leak), "theta": Field.of(self.op.theta)}

    def build(self, flow, y):
        y, = flow.together(flow.plain(y))
        y = flow.at(y, max(y.time, 2))      # the memory answers a cycle after it was asked
        memory = NeuronMemory(flow, f"{self.key}_membranes", self.op.v)
        leaked = flow.product(memory.read(y.time), flow.param(self.name("leak"), y.time))
        v, over = flow.together(*limited(flow, flow.sum(leaked, y), self.op.v))
        flow.over.append(over)
        flow.shown.append((v, "membrane"))
        theta = flow.param(self.name("theta"), v.time)
        s = flow.made(lambda v, theta: v >= theta, 0, 1, 0, v, theta)
        memory.write(flow.made(lambda v, s, theta: Mux(s, v - theta, v), v.lo, v.hi, v.f_bits, v, s,
                               theta))
        return s


CELLS[Leak] = Leaking
