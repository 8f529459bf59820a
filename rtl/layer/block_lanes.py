"""A layer's states inside its engine, two steps at a time."""

from math import isqrt

from amaranth import Cat, Mux, Signal

from rtl.layer import block_update
from rtl.layer.block_update import BlockUpdate
from rtl.layer.drives import BlockDrives
from rtl.layer.flow import Value
from rtl.layer.state_lanes import ADDERS, Lanes
from rtl.parts.arith import round_half_even
from rtl.parts.pipeline import tree_stages
from rtl.spec import LayerSpec

SUMMED = 3      # cycles from the sums of a cycle's p over their sum and its rounding to y


class BlockLanes(Lanes):
    """The same as :class:`rtl.layer.state_lanes.Lanes`, a block of two steps at a time.

    .. code-block:: text

        s1, s2 ─►[state_inputs]─► g1 s1 + g s2 ──►┌─────────────────┐─h─►[sum over modes]─►(+)─► y2
        or u1, u2 ───────────────────────────────►│ G M BlockUpdate │        d u2 + b ──────┘
        state RAM, state_coefficients ───────────►└─────────────────┘─p─►[sum]─►round─►(+)─► y1
                                                                           d1 u1 + b ───┘

    The table of what two spikes let enter is read so late that it comes where it is added.
    """

    Lane, Drives = BlockUpdate, BlockDrives

    @staticmethod
    def times(spec: LayerSpec, operands: int) -> dict[str, int]:
        spread, stages = spec.hw.spread, tree_stages(spec.geo.M, ADDERS)
        found = Lanes.times(spec, operands)
        return found | {"rounding": operands + block_update.late_after(spread), "y": max(
            found["y"], operands + block_update.p_after(spread) + stages + SUMMED)}

    def _remember(self, m, host, at, u: list) -> None:
        super()._remember(m, host, at, u)
        geo, pipe, asked = self.geo, host.pipe, at.rounding - 1
        for g, memory in enumerate(self.memories.inputs):
            spikes = pipe.delay(Cat(u[g + geo.G], u[g]), asked - at.operands, f"spikes{g}")
            m.d.comb += [memory.addr.eq(Cat(spikes, host.slots[asked].row)),
                         memory.en.eq(pipe.en)]

    def _enter(self, j: int, lane, u: list) -> list:
        geo, (g, k) = self.geo, divmod(j, self.geo.M)
        if not self.memories.inputs:
            return [lane.i.payload.u1.eq(u[g]), lane.i.payload.u2.eq(u[g + geo.G])]
        row = self.memories.inputs[g].row[k]
        return [lane.late[name].eq(row[name]) for name in row.shape().members]

    @staticmethod
    def _late(lane):
        return lane.late

    def _ahead(self, m, host, at) -> tuple:
        """The sum over all modes of p, rounded once, in a word's last cycle."""
        geo, op, pipe = self.geo, self.op, host.pipe
        time = at.operands + self.lanes[0].p_at + tree_stages(geo.M, ADDERS)
        low = geo.n * op.h.lo
        most = isqrt(2 * low * low) + 1         # no state is longer than that, and A_bar below 1
        shift = op.a_re.fmt.f_bits
        exact = Value(-most << shift, most << shift, 0, 0).shape
        found = []
        for g, total in enumerate(self._totals(pipe, [lane.p for lane in self.lanes], "sum_ahead")):
            kept = Signal(exact, name=f"ahead{g}", reset_less=True)
            with m.If(pipe.en):
                m.d.sync += kept.eq(total + Mux(host.slots[time].head, 0, kept))
            p = Signal(Value(-most, most, 0, 0).shape, name=f"p{g}")
            m.d.comb += p.eq(round_half_even(kept, shift))
            found.append(pipe.delay(p, at.y - 1 - (time + 1), f"p{g}"))
        return found,
