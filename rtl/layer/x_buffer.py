"""The input buffer of a layer: whole blocks of steps, read once or twice."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.spec import LayerSpec
from rtl.parts.streams import marks, x_word

NO_FUSE_BANKS = 2   # one is written while the other is read
FUSE_BANKS = 4      # a step also waits for the state engine, the mixer and the read-out; short
                    # steps need more, as those take a fixed time as well


class XBuffer(wiring.Component):
    """Banks of one whole block of steps between a layer's input and its two readers.

    .. code-block:: text

        i ──► bank w  │ bank w+1 │ ...          a bank is free again after its last use
              bank o  ───────────────────► o    the state engine, complete blocks only
              bank f  ───────────────────► fuse the residual addition, blocks that o has read

    A word is offered on ``o`` only when its whole block is in the buffer, so the engine never waits
    in the middle of one; ``i`` accepts a whole block or none of it, one word per cycle. Without a
    residual connection there is no ``fuse``.

    Parameters
    ----------
    spec : LayerSpec
    banks : int, optional
        Blocks of steps that fit; default 2, or 4 with a residual connection.

    Members
    -------
    i : ``In(stream.Signature(x_word(x_format, geo)))``
    o : ``Out(stream.Signature(x_word(x_format, geo)))``
    fuse : ``Out(stream.Signature(x_word(x_format, geo)))``
        The same words again, for the mixer's read-out; only where x is added there.

    Timing
    ------
    ``latency`` cycles from the transfer of a block's last word on ``i`` to its first word on ``o``;
    then a word per cycle on each side, also from block to block.

    Resources
    ---------
    A simple dual-port RAM of ``banks * words`` rows per reader, two flip-flops per bank.
    """

    latency = 2

    def __init__(self, spec: LayerSpec, banks: int | None = None):
        self.geo, self.fused = spec.geo, spec.fused
        self.banks = banks or (FUSE_BANKS if self.fused else NO_FUSE_BANKS)
        self.layout = x_word(spec.x_format, self.geo)
        sides = ["o", "fuse"] if self.fused else ["o"]
        super().__init__({"i": In(stream.Signature(self.layout))}
                         | {side: Out(stream.Signature(self.layout)) for side in sides})

    def model(self, words: list) -> list:
        """Each reader sees the words that were written."""
        return list(words)

    def elaborate(self, platform):
        m = Module()
        depth, step = self.banks * self.geo.words, self.geo.words
        m.submodules.ram = ram = memory.Memory(shape=self.layout.members["x"], depth=depth,
                                               init=[])
        # A block's marks are the same in all its words. From registers they come earlier than from
        # a block RAM, and much depends on them.
        step_marks = data.StructLayout(marks(self.geo))
        flags = Array(Signal(step_marks.size, name=f"flags{bank}") for bank in range(self.banks))

        def of(payload):
            return Cat(payload[name] for name in step_marks.members)

        def position(advance):
            """Row counter over all banks; returns (row, bank, this advance ends a step)."""
            row, word = Signal(range(max(2, depth))), Signal(range(max(2, step)))
            bank = Signal(range(max(2, self.banks)))
            done = advance & (word == step - 1)
            with m.If(advance):
                m.d.sync += [row.eq(Mux(row == depth - 1, 0, row + 1)),
                             word.eq(Mux(word == step - 1, 0, word + 1))]
            with m.If(done):
                m.d.sync += bank.eq(Mux(bank == self.banks - 1, 0, bank + 1))
            return row, bank, done

        write = ram.write_port()
        taken = self.i.valid & self.i.ready
        row, bank, full = position(taken)
        m.d.comb += [write.addr.eq(row), write.data.eq(self.i.payload.x), write.en.eq(taken)]
        with m.If(taken):
            m.d.sync += flags[bank].eq(of(self.i.payload))

        free = Signal(range(self.banks + 1), init=self.banks)   # the one being written included
        arrived = full
        for side in [self.o, self.fuse] if self.fused else [self.o]:
            read = ram.read_port()
            steps = Signal(range(self.banks + 1))               # complete, not read by this side
            advance = Signal()
            fetch = ~side.valid | side.ready                    # the RAM's register is the output
            row, bank, done = position(advance)
            step_flags = Signal(step_marks.size)
            m.d.comb += [advance.eq(fetch & (steps != 0)), read.addr.eq(row),
                         read.en.eq(advance), side.payload.x.eq(read.data),
                         of(side.payload).eq(step_flags)]
            with m.If(advance):
                m.d.sync += step_flags.eq(flags[bank])
            with m.If(fetch):
                m.d.sync += side.valid.eq(steps != 0)
            m.d.sync += steps.eq(steps + arrived - done)
            arrived = done      # the fuse may read what the engine has read
        left = Signal.like(free)
        ready = Signal(init=1)          # a register: no path from the readers to the writer
        m.d.comb += [left.eq(free - full + arrived), self.i.ready.eq(ready)]
        m.d.sync += [free.eq(left), ready.eq(left != 0)]
        return m
