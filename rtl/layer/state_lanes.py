"""A layer's states inside its engine: their RAM, the lanes that update them, and their sums."""

from amaranth import Mux
from amaranth.lib import data

from rtl.layer import chains, state_update
from rtl.layer.coefficients import StateMemories
from rtl.layer.drives import Drives
from rtl.layer.state_update import StateUpdate
from rtl.parts.memory import WideMemory
from rtl.parts.pipeline import tree_stages
from rtl.parts.streams import shape_of
from rtl.spec import LayerSpec

ADDERS = 2      # levels of the drive's adder tree per cycle


class Lanes:
    """What stands between the inputs u of a layer's states and their y, a step at a time.

    Attributes
    ----------
    memories : StateMemories
    lanes : list of StateUpdate
        G M of them, those of a neuron side by side.
    """

    Lane, Drives = StateUpdate, Drives

    def __init__(self, spec: LayerSpec):
        op, (u,), hw = spec.cut.states.op, spec.cut.states.formats, spec.hw
        self.spec, self.geo, self.op = spec, spec.geo, op
        self.memories, h = StateMemories(spec), shape_of(op.h)
        self.layout = data.ArrayLayout(data.StructLayout({"h_re": h, "h_im": h}), spec.geo.lanes)
        self.states = WideMemory(spec.geo.rows, self.layout.size, [], hw, hw.spread)
        most = self.Lane.most_logic
        self.lanes = [self.Lane(op, u, spec.random, fed=True, spread=hw.spread,
                                multiplier=hw.multiplier,
                                logic=max(0, min(most, spec.logic - most * j)))
                      for j in range(spec.geo.lanes)]

    @staticmethod
    def times(spec: LayerSpec, operands: int) -> dict[str, int]:
        """Of :class:`rtl.layer.state_engine.EngineTiming`, behind ``operands``."""
        state = operands + state_update.latency(spec.hw.spread)
        return {"rounding": operands, "state": state,
                "y": state + tree_stages(spec.geo.M, ADDERS) + 1}

    def build(self, m, host, at, u: list, seen: dict) -> tuple[list, list]:
        """Hardware in an engine. Returns u before the sum, and y behind it.

        at : :class:`rtl.layer.state_engine.EngineTiming`; u : at ``at.operands``; seen : gets
        ``rounding``, the rounding words of the cycle's modes at ``at.rounding``, if there are any.
        """
        mem, pipe = self.memories, host.pipe
        for name, part in mem.submodules().items():
            host.memory(name, part)
        for j, lane in enumerate(self.lanes):
            m.submodules[f"lanes{j}"] = lane
            m.d.comb += [lane.i.valid.eq(1), lane.o.ready.eq(pipe.en)]
        self._remember(m, host, at, u)
        if mem.draws_rounding:
            ahead = host.slots[at.rounding - 1]
            m.d.comb += [mem.draws_rounding.advance.eq(pipe.en & ahead.valid),
                         mem.draws_rounding.rewind.eq(ahead.last & ahead.end & ahead.tail)]
            if self.geo.layers > 1:
                m.d.comb += mem.draws_rounding.layer.eq(ahead.layer)
            if self.spec.two_way:
                m.d.comb += mem.draws_rounding.turn.eq(ahead.end & ahead.tail)
            seen["rounding"] = pipe.register(mem.draws_rounding.words, "r_round")
        # With registers behind the RAMs the rows come a cycle later.
        first = host.slots[at.operands + self.spec.hw.spread].first
        read, write = (data.View(self.layout, port)
                       for port in (self.states.r_data, self.states.w_data))
        for j, lane in enumerate(self.lanes):
            p, row = lane.i.payload, mem.modes.row[j]
            m.d.comb += [*self._enter(j, lane, u),
                         *(p[name].eq(row[name]) for name in row.shape().members)]
            for part in ("h_re", "h_im"):
                m.d.comb += [p[part].eq(Mux(first, 0, read[j][part])),
                             write[j][part].eq(lane.o.payload[part])]
            if mem.draws_rounding:
                m.d.comb += self._late(lane).r.eq(seen["rounding"][j])
        return self._drive(m, host, at, u)

    def _remember(self, m, host, at, u: list) -> None:
        """The RAM of states, read in front of the lanes and written behind them."""
        mem, pipe = self.memories, host.pipe
        ahead, done = (host.slots[k] for k in (at.operands - 1, at.state))
        states = m.submodules.states = self.states
        store = (done.valid & pipe.en).replicate(len(states.w_en))
        m.d.comb += [states.r_addr.eq(ahead.row), states.r_en.eq(pipe.en),
                     mem.modes.addr.eq(ahead.row), mem.modes.en.eq(pipe.en),
                     states.w_addr.eq(done.row), states.w_en.eq(store)]

    def _enter(self, j: int, lane, u: list) -> list:
        """What enters a lane."""
        return [lane.i.payload.u.eq(u[j // self.geo.M])]

    @staticmethod
    def _late(lane):
        """The operands at ``at.rounding``."""
        return lane.i.payload

    def _drive(self, m, host, at, u: list) -> tuple[list, list]:
        """The sums over modes and the drives."""
        geo, mem, pipe = self.geo, self.memories, host.pipe
        drives, total = self.Drives(self.spec, chains.drive(self.spec)), at.y - 1
        early = total - drives.ahead + 1
        m.d.comb += [mem.neurons.addr.eq(host.slots[early - mem.neurons.latency].word),
                     mem.neurons.en.eq(pipe.en)]
        u = [pipe.delay(one, early - at.operands, f"u{g}") for g, one in enumerate(u)]
        totals = [pipe.delay(one, total - at.state - tree_stages(geo.M, ADDERS), f"total{g}")
                  for g, one in enumerate(self._totals(pipe, [
                      lane.o.payload.h_re for lane in self.lanes], "sum"))]
        given = mem.neurons.row, totals, host.slots[total].head
        return u, drives.build(m, pipe, u, *given, *self._ahead(m, host, at))

    def _totals(self, pipe, parts: list, name: str) -> list:
        """Of each neuron, the sum over its modes of a cycle."""
        M = self.geo.M
        return [pipe.total(parts[g * M:][:M], ADDERS, f"{name}{g}") for g in range(self.geo.G)]

    def _ahead(self, m, host, at) -> tuple:
        """What the drives need besides."""
        return ()
