"""The state engine's schedule: which neurons and modes each cycle works on."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.parts.config import Geometry
from rtl.parts.streams import copied, marks, row_of


def slot_layout(geo: Geometry) -> data.StructLayout:
    """One cycle of the state engine, as it travels with the pipeline.

    The word's marks (:func:`rtl.parts.streams.marks`); ``start`` and ``end``: the block's first and
    last word; ``head`` and ``tail``: the word's first and last cycle; ``row``: address of its
    states; ``word``: of its neurons; both in memories of all layers that share the hardware.
    """
    return data.StructLayout({"valid": 1} | marks(geo) | {
        "start": 1, "end": 1, "head": 1, "tail": 1, "row": range(max(2, geo.rows)),
        "word": range(max(2, geo.neuron_rows))})


class Scheduler(wiring.Component):
    """Turns words into slots: F cycles a word, and a pause after a block that is too short.

    Parameters
    ----------
    geo : Geometry
    interval : int
        Least enabled cycles from a block's first slot to the next block's.

    Members
    -------
    i : ``In(stream.Signature(StructLayout(marks(geo))))``
    en : ``In(1)``
        Clock enable of the pipeline.
    accept : ``Out(1)``
        A word is taken in this cycle.
    word : ``Out``
        Its row in memories of neurons.
    slot : ``Out(slot_layout(geo))``
        One enabled cycle after the word was taken its first slot, then the others.

    Timing
    ------
    Latency 1 enabled cycle, a word every F.

    Resources
    ---------
    Two counters, or three if F is no power of two.
    """

    latency = 1

    def __init__(self, geo: Geometry, interval: int):
        self.geo = geo
        self.interval = interval
        super().__init__({
            "i": In(stream.Signature(data.StructLayout(marks(geo)))),
            "en": In(1), "accept": Out(1), "word": Out(range(max(2, geo.neuron_rows))),
            "slot": Out(slot_layout(geo))})

    def model(self, words: list[dict]) -> list[dict]:
        """Slots of whole blocks of words (their marks), without the gaps between them."""
        geo = self.geo
        return [{"valid": 1} | {name: word[name] for name in marks(geo)} |
                {"start": int(w == 0), "end": int(w == geo.words - 1), "head": int(f == 0),
                 "tail": int(f == geo.F - 1), "row": layer * geo.issue + w * geo.F + f,
                 "word": layer * geo.words + w}
                for j, word in enumerate(words) for layer in [word.get("layer", 0)]
                for w in [j % geo.words] for f in range(geo.F)]

    def elaborate(self, platform):
        m = Module()
        geo, slot = self.geo, self.slot
        pause_cycles = self.interval - geo.issue
        sub = Signal(range(max(2, geo.F)))
        row, word = Signal(range(max(2, geo.issue))), Signal(range(max(2, geo.words)))
        pause = Signal(range(max(2, pause_cycles + 1)))
        issue = Signal()
        if geo.F & (geo.F - 1) == 0:        # then synthesis needs only one of them in every stage
            m.d.comb += word.eq(row >> (geo.F.bit_length() - 1))
        now = self.i.payload if geo.F == 1 else data.View(self.i.payload.shape(), Mux(
            self.accept, self.i.payload.as_value(), Cat(slot[name] for name in marks(geo))))
        m.d.comb += [
            self.word.eq(row_of(geo, self.i.payload, geo.words, word)),
            self.i.ready.eq(self.en & (sub == 0) & (pause == 0)),
            self.accept.eq(self.i.valid & self.i.ready),
            issue.eq(self.accept | self.en & (sub != 0)),
        ]
        with m.If(self.en):
            m.d.sync += slot.valid.eq(issue)
            with m.If(pause != 0):
                m.d.sync += pause.eq(pause - 1)
        with m.If(self.accept):
            m.d.sync += copied(slot, self.i.payload, geo)
        tail, end = sub == geo.F - 1, word == geo.words - 1
        with m.If(issue):
            m.d.sync += [slot.row.eq(row_of(geo, now, geo.issue, row)),
                         slot.word.eq(row_of(geo, now, geo.words, word)),
                         slot.start.eq(word == 0), slot.end.eq(end),
                         slot.head.eq(sub == 0), slot.tail.eq(tail),
                         sub.eq(Mux(tail, 0, sub + 1)), row.eq(Mux(tail & end, 0, row + 1))]
            with m.If(tail & end):
                m.d.sync += pause.eq(pause_cycles)
            if geo.F & (geo.F - 1):
                with m.If(tail):
                    m.d.sync += word.eq(Mux(end, 0, word + 1))
        return m
