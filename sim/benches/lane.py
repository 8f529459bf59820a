"""A lane of two steps as one part with one input and one output, for tests."""

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.layer.block_update import BlockUpdate
from rtl.parts.pipeline import Pipeline


class Together(wiring.Component):
    """A :class:`BlockUpdate` whose late operands come with the others, and whose p leaves with the
    states.

    Members
    -------
    i, o : streams
        Those of the lane, with the members of ``late`` and with ``p``.
    """

    def __init__(self, lane: BlockUpdate):
        self.lane, self.latency = lane, lane.latency
        into, out = lane.i.payload.shape().members, lane.o.payload.shape().members
        self.late = lane.late.shape().members if hasattr(lane, "late") else {}
        super().__init__({"i": In(stream.Signature(data.StructLayout(into | self.late))),
                          "o": Out(stream.Signature(data.StructLayout(
                              out | {"p": lane.p.shape()})))})

    def given(self, word: dict[str, int]) -> dict[str, int]:
        """What the lane sees of both steps' operands: where u is a bit, what they let enter."""
        word = word | {f"in_{part}": word[f"g1_{part}"] * word["u1"] + word[f"g_{part}"] * word["u2"]
                       for part in ("re", "im")}
        return {name: word[name] for name in self.i.payload.shape().members}

    def elaborate(self, platform):
        m = Module()
        m.submodules.lane = lane = self.lane
        pipe, i, o = Pipeline(m, lane.i.ready), self.i.payload, self.o.payload
        m.d.comb += [lane.i.valid.eq(self.i.valid), self.i.ready.eq(lane.i.ready),
                     *(lane.i.payload[name].eq(i[name]) for name in lane.i.payload.shape().members),
                     self.o.valid.eq(lane.o.valid), lane.o.ready.eq(self.o.ready),
                     *(o[name].eq(lane.o.payload[name]) for name in ("h_re", "h_im", "over")),
                     o.p.eq(pipe.delay(lane.p, lane.latency - lane.p_at, "p")),
                     *(lane.late[name].eq(pipe.delay(i[name], lane.late_at, name))
                       for name in self.late)]
        return m
