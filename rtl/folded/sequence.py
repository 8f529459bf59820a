"""What a core with two-sided kernels keeps of a whole sequence, and the order in which it reads it.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.parts import two_way_source
from rtl.parts.streams import x_word
from rtl.spec import LayerSpec


class Place:
    """Where in a memory of whole sequences a word of a step lies.

    ``row`` is word ``word`` of step ``step``; :meth:`advance` goes to the next word, behind a
    step's last one to a step that the caller chooses: see :meth:`go`.
    """

    def __init__(self, m: Module, name: str, longest: int, words: int):
        self.m, self.words, self.longest = m, words, longest
        self.step = Signal(range(max(2, longest)), name=f"{name}_step")
        self.base = Signal(range(max(2, longest * words)), name=f"{name}_base")
        self.word = Signal(range(max(2, words)), name=f"{name}_word")
        self.row = Signal(range(max(2, longest * words)), name=f"{name}_row")
        self.end = Signal(name=f"{name}_end")
        m.d.comb += [self.row.eq(self.base + self.word), self.end.eq(self.word == words - 1)]

    def advance(self) -> None:
        """To the step's next word, or its first."""
        self.m.d.sync += self.word.eq(Mux(self.end, 0, self.word + 1))

    def go(self, steps: int) -> None:
        """By so many steps."""
        self.m.d.sync += [self.step.eq(self.step + steps),
                          self.base.eq(self.base + steps * self.words)]

    def onwards(self) -> None:
        """To the next step, or, of a sequence that is too long, to the last one again."""
        with self.m.If(self.step != self.longest - 1):
            self.go(1)

    def restart(self) -> None:
        """To the first step."""
        self.m.d.sync += [self.step.eq(0), self.base.eq(0)]


class Sequence(wiring.Component):
    """A sequence's steps of what enters the states: read once from its end, once from its start.

    .. code-block:: text

        i ──► row t of layer j ──► o, layer 2 j: t = L-1 .. 0, then layer 2 j + 1: t = 0 .. L-1

    A layer's steps are written while those of the layer before are read for the last time, each in
    the place of one that has been read: whoever writes makes sure of that. So one memory serves all
    layers. Reading begins when the sequence's last step is there.

    Of a sequence of more than ``longest`` steps all behind step ``longest - 1`` are written to its
    place: it counts as one of ``longest`` steps, the last one of which is its own last one.

    Parameters
    ----------
    spec : LayerSpec
        Of the states, :func:`rtl.folded.sides.of_states`.
    before : LayerSpec
        Of what stands in front, :func:`rtl.folded.sides.in_front`.
    longest : int
        Steps that there is room for.
    pace : int
        Least cycles from step to step on the way onwards; on the way back ``o`` alone decides.

    Members
    -------
    i : ``In(stream.Signature(x_word(i_format, before.geo)))``
        Always taken.
    o : ``Out(stream.Signature(x_word(i_format, spec.geo)))``
    begins : ``Out(1)``
        The last layer's steps are read onwards from the next cycle on.
    more : ``Out(1)``
        A step has been read onwards.
    step : ``Out(range(longest))``
        Of the word on ``i``.
    coming : ``Out(two_way_source.coming(layers))``
        A step comes that has a place of its own.

    Timing
    ------
    Two cycles from the transfer of the last word on ``i`` to the first on ``o``.

    Resources
    ---------
    A RAM of ``longest * words`` rows.
    """

    latency = 3     # from the last word's transfer on ``i`` to the first one's on ``o``

    def __init__(self, spec: LayerSpec, before: LayerSpec, longest: int, pace: int = 0):
        self.spec, self.geo, self.longest, self.pace = spec, spec.geo, longest, pace
        self.layers = before.geo.layers
        self.before = before.geo
        super().__init__({"i": In(stream.Signature(x_word(spec.i_format, before.geo))),
                          "o": Out(stream.Signature(x_word(spec.i_format, spec.geo))),
                          "begins": Out(1), "more": Out(1),
                          "step": Out(range(max(2, longest))),
                          "coming": Out(two_way_source.coming(spec.geo.layers))})

    def elaborate(self, platform):
        m = Module()
        words, longest = self.geo.words, self.longest
        m.submodules.ram = ram = memory.Memory(shape=self.i.payload.x.shape(),
                                               depth=max(2, longest * words), init=[])
        length, end = Signal(range(max(2, longest))), Signal(range(max(2, longest * words)))
        there, layer = Signal(), Signal(range(max(2, self.layers)))
        write, into = ram.write_port(), Place(m, "into", longest, words)
        ended = self.i.valid & into.end & self.i.payload.last
        m.d.comb += [self.i.ready.eq(1), write.en.eq(self.i.valid), write.addr.eq(into.row),
                     write.data.eq(self.i.payload.x), self.step.eq(into.step)]
        full = Signal()     # the last place is taken
        m.d.comb += [self.coming.valid.eq(self.i.valid & (into.word == 0) & ~full),
                     self.coming.first.eq(self.i.payload.first)]
        if self.layers > 1:
            m.d.comb += self.coming.layer.eq(self.i.payload.layer)
        with m.If(self.i.valid):
            into.advance()
            with m.If(into.end):
                m.d.sync += full.eq((into.step == longest - 1) & ~self.i.payload.last)
            with m.If(ended):
                into.restart()
                m.d.sync += [length.eq(into.step), end.eq(into.base)]
                if self.layers > 1:
                    m.d.sync += layer.eq(self.i.payload.layer)
            with m.Elif(into.end):
                into.onwards()

        read, of = ram.read_port(), Place(m, "of", longest, words)
        busy, onwards, at = Signal(), Signal(), Signal.like(layer)
        last, advance, taken = Signal.like(length), Signal(), Signal()
        out = self.o.payload
        fetch, held = ~self.o.valid | self.o.ready, self._held(m, of, onwards, advance)
        begin = there & ~busy
        m.d.comb += [advance.eq(fetch & busy & ~held), read.addr.eq(of.row),
                     read.en.eq(advance), out.x.eq(read.data),
                     taken.eq(advance & of.end), self.more.eq(taken & onwards), self.begins.eq(
                         taken & ~onwards & (of.step == 0) & (at == self.layers - 1))]
        m.d.sync += there.eq(ended | there & ~begin)
        with m.If(fetch):
            m.d.sync += self.o.valid.eq(busy & ~held)
        with m.If(advance):
            of.advance()
            m.d.sync += [out.layer.eq(Cat(onwards, at)),
                         out.first.eq(of.step == Mux(onwards, 0, last)),
                         out.last.eq(of.step == Mux(onwards, last, 0))]
        with m.If(begin):
            m.d.sync += [busy.eq(1), onwards.eq(0), at.eq(layer), last.eq(length),
                         of.step.eq(length), of.base.eq(end)]
        with m.If(taken):
            with m.If(onwards):
                with m.If(of.step == last):
                    m.d.sync += busy.eq(0)
                with m.Else():
                    of.go(1)
            with m.Elif(of.step == 0):
                m.d.sync += onwards.eq(1)
            with m.Else():
                of.go(-1)
        return m

    def _held(self, m: Module, of: Place, onwards, advance):
        """A step's first word waits until ``pace`` cycles have passed since the one before."""
        if not self.pace:
            return 0
        waits, left = Signal(), Signal(range(self.pace))
        starts = advance & onwards & (of.word == 0)
        with m.If(waits & self.o.ready):
            m.d.sync += [waits.eq(0), left.eq(self.pace - 2)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(starts):
            m.d.sync += waits.eq(1)
        return onwards & (of.word == 0) & (waits | (left != 0))


class Kept(wiring.Component):
    """A sequence's x, read once more in the same order: for the residual addition.

    Parameters
    ----------
    spec : LayerSpec
    longest : int

    Members
    -------
    i : ``In(stream.Signature(x_word(x_format, geo)))``
        Always taken.
    more : ``In(1)``
        One more step may be read.
    o : ``Out(stream.Signature(x_word(x_format, geo)))``
        Its marks but ``last`` are without a meaning.

    Resources
    ---------
    A RAM of ``longest * words`` rows.
    """

    def __init__(self, spec: LayerSpec, longest: int):
        self.geo, self.longest = spec.geo, longest
        self.layout = x_word(spec.x_format, spec.geo)
        super().__init__({"i": In(stream.Signature(self.layout)), "more": In(1),
                          "o": Out(stream.Signature(self.layout))})

    def elaborate(self, platform):
        m = Module()
        words, longest = self.geo.words, self.longest
        row = data.StructLayout({"x": self.layout.members["x"], "last": 1})
        m.submodules.ram = ram = memory.Memory(shape=row, depth=max(2, longest * words), init=[])
        write, into = ram.write_port(), Place(m, "into", longest, words)
        m.d.comb += [self.i.ready.eq(1), write.en.eq(self.i.valid), write.addr.eq(into.row),
                     write.data.x.eq(self.i.payload.x), write.data.last.eq(self.i.payload.last)]
        with m.If(self.i.valid):
            into.advance()
            with m.If(into.end):
                with m.If(self.i.payload.last):
                    into.restart()
                with m.Else():
                    into.onwards()

        read, of = ram.read_port(), Place(m, "of", longest, words)
        steps, advance, over = Signal(range(longest + 1)), Signal(), Signal()
        fetch = ~self.o.valid | self.o.ready
        again = over & read.data.last       # the word before was a sequence's last one
        m.d.comb += [advance.eq(fetch & (steps != 0)), read.en.eq(advance),
                     read.addr.eq(Mux(again, 0, of.row)), self.o.payload.x.eq(read.data.x),
                     self.o.payload.last.eq(read.data.last)]
        m.d.sync += steps.eq(steps + self.more - (advance & of.end))
        with m.If(fetch):
            m.d.sync += self.o.valid.eq(steps != 0)
        with m.If(advance):
            of.advance()
            m.d.sync += over.eq(of.end)
            with m.If(of.end):
                of.onwards()
            with m.If(again):
                step = int(words == 1 and longest > 1)      # it is the whole step
                m.d.sync += [of.step.eq(step), of.base.eq(step * words)]
        return m
