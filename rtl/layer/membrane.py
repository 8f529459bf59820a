"""The cell of leaky integrate-and-fire neurons: a membrane of each, in a memory."""

from dataclasses import replace

from amaranth import Mux, Signal

from golden.base.qformat import QFormat
from quant.integer.membrane import Integrate
from rtl.layer.cells import CELLS, Cell, Field
from rtl.layer.flow import Value, of, rounded
from rtl.parts.arith import saturate
from rtl.parts.memory import ConfigRegister, Region, WideMemory


class Membrane(Cell):
    """``u <- saturate(round(leak v + y))``, a spike where ``u >= theta``, then the reset.

    v is read a cycle before y is needed, and counts as 0 in a sequence's first step, so nothing is
    cleared. A multiplier, three adders and a memory of H membranes.
    """

    op: Integrate

    def fields(self):
        return {"leak": Field.of(self.op.leak)}

    def regions(self):
        theta = self.op.theta
        return [Region(self.name("theta"), theta.fmt.width, (int(theta.raw),),
                       f"threshold of all neurons, {theta.fmt}")]

    def build(self, flow, y):
        y, = flow.together(flow.plain(y))
        y = flow.at(y, max(y.time, 2))      # from its slot on a cycle for the memory
        op, v_format, begin = self.op, self.op.v, y.time
        v = self._old(flow, begin)
        total = flow.sum(flow.product(v, flow.param(self.name("leak"), begin)), y)
        total, = flow.together(total)
        whole, = flow.together(rounded(flow, total, v_format.f_bits))
        u = flow.made(lambda x: saturate(x, v_format)[0], v_format.lo, v_format.hi,
                      v_format.f_bits, whole, what="u")
        over = flow.made(lambda x: saturate(x, v_format)[1], 0, 1, 0, whole, what="over")
        u, over = flow.together(u, over)
        theta = self._theta(flow, u)
        s = flow.made(lambda u, theta: u >= theta, 0, 1, 0, u, theta, what="fires")
        new = flow.made(lambda u, s, theta: Mux(s, u - theta if op.reset == "subtract" else 0, u),
                        v_format.lo, v_format.hi, v_format.f_bits, u, s, theta, what="v")
        new = flow.hold(new)
        self._keep(flow, new)
        # Readable in the cycle after it is written: a word may read it then.
        flow.loop = max(flow.loop, new.time + 1 - (begin - 1))
        flow.over.append(over)
        flow.shown.append((u, "membrane"))
        return s

    def _old(self, flow, time: int) -> Value:
        """The membranes behind the last step."""
        found = of(self.op.v, time)
        geo = self.spec.geo
        flow.memories.append(("membranes", geo.words, geo.G * self.op.v.width))
        if flow.host is None:
            return found
        host, width = flow.host, self.op.v.width
        self.memory = WideMemory(geo.words, geo.G * width, [], self.spec.hw)
        flow.submodule(f"{self.key}_membranes", self.memory)
        host.m.d.comb += [self.memory.r_addr.eq(host.slot(time - 1).word),
                          self.memory.r_en.eq(host.pipe.en)]
        bits, first = [], host.slot(time).first
        for g in range(geo.G):
            one = Signal(found.shape, name=f"{self.key}_old{g}")
            host.m.d.comb += one.eq(Mux(first, 0, self.memory.r_data.word_select(g, width)))
            bits.append(one)
        return replace(found, bits=tuple(bits))

    def _theta(self, flow, u: Value) -> Value:
        """The threshold, beside each membrane."""
        fmt: QFormat = self.op.theta.fmt
        found = of(fmt, u.time)
        if flow.host is None:
            return found
        register = ConfigRegister(self.spec.regions[self.name("theta")])
        flow.host.memory(f"{self.key}_theta", register)
        bits = Signal(found.shape, name=f"{self.key}_threshold")
        flow.host.m.d.comb += bits.eq(register.data)
        return replace(found, bits=(bits,) * self.spec.geo.G)

    def _keep(self, flow, new: Value) -> None:
        """Write the membranes behind this step."""
        if flow.host is None:
            return
        host, memory = flow.host, self.memory
        slot, width = host.slot(new.time), self.op.v.width
        host.m.d.comb += [memory.w_addr.eq(slot.word),
                          memory.w_en.eq((slot.valid & host.pipe.en).replicate(len(memory.w_en)))]
        host.m.d.comb += [memory.w_data.word_select(g, width).eq(bits)
                          for g, bits in enumerate(new.bits)]


CELLS[Integrate] = Membrane
