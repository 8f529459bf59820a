"""The tables of one mixer's weights: two outputs' sums over all neurons in every cycle."""

from amaranth import Array, Cat, Const, Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl.layer.table_build import TableBuilder
from rtl.layer.table_shape import ENTRY_BITS, GROUP, TableShape, row_bits
from rtl.parts.bank import PairBank
from rtl.parts.config import HardwareConfig
from rtl.parts.memory import Region, WideMemory, pack_rows
from rtl.parts.pipeline import Pipeline, tree_stages
from rtl.parts.streams import ConfigBus, shape_of

ADDERS = 2      # levels of the adder tree per cycle
LEAVES = 2 + PairBank.latency       # cycles from an address to what the tree adds


def latency(H: int) -> int:
    """Cycles from ``pair`` to ``sums``."""
    return LEAVES + tree_stages(TableShape(H).groups, ADDERS) + 1


class WeightTables(wiring.Component):
    """``sum_j w_ij s_j`` of outputs i of a pair, exact: a new pair and new spikes in every cycle.

    .. code-block:: text

        pair ───►[addr]─►[tables, 2 groups each]─►(signs)─►[leaves]─►(sum over groups)─►(+)─► sums
        spikes ──┘  └─ signs ──────────────────────┘└──►(count)──────────►[base]─────────┘
        cfg ─►[TableBuilder]         [rows' sums, of the same pair]──────────┘

    Twice the sum is what the rows' sums and the groups' add up to. A group whose first sign is -1
    counts turned: its bits, and 1.

    Parameters
    ----------
    region : Region
        :func:`rtl.layer.table_shape.regions`.
    w : Tensor
        Weights (H, H) before anything is written.
    shape : shape-like
        Of a sum.
    outputs : int
        2: both outputs of a pair; 1: the one that ``high`` says.
    hw : HardwareConfig

    Members
    -------
    cfg : ``In(ConfigBus())``
        As of :class:`rtl.layer.table_build.TableBuilder`; while it is busy ``sums`` say nothing.
    pair : ``In(range(pairs))``; high : ``In(1)``
    spikes : ``In(H)``
    sums : ``Out(ArrayLayout(shape, outputs))``

    Timing
    ------
    Latency of :func:`latency`; nothing ever waits.

    Resources
    ---------
    For every eight neurons a block RAM with two ports, for every four an adder of an output; a
    memory of the rows' sums.
    """

    def __init__(self, region: Region, w, shape, outputs: int, hw: HardwareConfig):
        H = len(w.raw)
        self.shape, self.outputs, self.sum, self.hw = TableShape(H), outputs, shape, hw
        self.latency = latency(H)
        self.builder = TableBuilder(self.shape, region, shape_of(w.fmt))
        self.banks = [PairBank(self.shape.per_bank * self.shape.rows, rows, hw.block_ram)
                      for rows in self.shape.init(w.raw)]
        self.row = row_bits(shape)
        self.rows = WideMemory(self.shape.pairs, 2 * self.row, list(pack_rows(
            [(self.shape.sums(w.raw), self.row)])), hw, registered=True)
        super().__init__({
            "cfg": In(ConfigBus()), "pair": In(range(max(2, self.shape.pairs))), "high": In(1),
            "spikes": In(H), "sums": Out(data.ArrayLayout(shape, outputs))})

    def model(self, pair: int, spikes, w) -> list[int]:
        """Both outputs' sums for spikes (H,)."""
        return [int(row @ spikes) for row in w[2 * pair:2 * pair + 2]]

    def elaborate(self, platform):
        m = Module()
        m.submodules.builder = builder = self.builder
        wiring.connect(m, wiring.flipped(self.cfg), builder.cfg)
        pipe = Pipeline(m, Const(1))
        spikes = Cat(self.spikes, Const(0, self.shape.groups * GROUP - self.shape.H))
        groups = [spikes.word_select(j, GROUP) for j in range(self.shape.groups)]
        entries = [group[1:] ^ group[0].replicate(GROUP - 1) for group in groups]
        turned = pipe.delay(Cat(~group[0] for group in groups), LEAVES - 1, "turned")
        high = pipe.delay(self.high, LEAVES - 1, "high")
        words = self._look_up(m, pipe, entries)
        counted = pipe.total(list(turned), ADDERS, "counted")
        stages = tree_stages(self.shape.groups, ADDERS)
        row = self._row_sums(m, pipe, stages)
        row_high = pipe.delay(high, stages, "row_high")
        for out in range(self.outputs):
            leaves = []
            for j, word in enumerate(words):
                bits = self._chosen(word, out, high, ENTRY_BITS) ^ turned[j].replicate(ENTRY_BITS)
                leaves.append(pipe.register(bits.as_signed(), f"leaf{out}_{j}"))
            total = pipe.total(leaves, ADDERS, f"total{out}")
            base = pipe.register(self._chosen(row, out, row_high, self.row).as_signed() + counted,
                                 f"base{out}")
            m.d.comb += self.sums[out].eq(pipe.register((total + base) >> 1, f"sum{out}"))
        return m

    def _chosen(self, word, out: int, high, bits: int):
        """An output's bits in a row of two."""
        low, top = word[:bits], word[bits:2 * bits]
        return Mux(high, top, low) if self.outputs == 1 else (low, top)[out]

    def _look_up(self, m: Module, pipe: Pipeline, entries: list) -> list:
        """The memories, and whose addresses they are; returns the row of every group."""
        shape, builder, half = self.shape, self.builder, ENTRY_BITS
        per = shape.per_bank
        pair = Mux(builder.busy, builder.output[1:], self.pair)[:max(1, (shape.pairs - 1)
                                                                    .bit_length())]
        group = Cat(builder.neuron[(GROUP - 1).bit_length():], Const(0, 1))
        side = group[0] if per == 2 else Const(0, 1)
        write_data = pipe.register(builder.new, "write_data")
        words = []

        def address(entry, of_builder, port: int):
            """Half of the memory, pair, entry; the port's half but for the builder."""
            at = Mux(builder.busy, of_builder, entry)[:3]
            upper = Mux(builder.busy, side, port)[:1] if per == 2 else Const(0, 0)
            return Cat(at, pair if shape.pairs > 1 else Const(0, 0), upper)

        for number, bank in enumerate(self.banks):
            m.submodules[f"tables{number}"] = bank
            own = entries[per * number:per * (number + 1)]
            a, b = (own + [Const(0, 3)])[:2] if per == 2 else (own[0], own[0])
            here = (group >> (per - 1)) == number
            writes = Cat(builder.write & here & (builder.output[0] == out) for out in (0, 1))
            name = f"{number}"
            m.d.comb += [
                bank.a_addr.eq(pipe.register(address(a, builder.read, 0), f"a_addr{name}")),
                bank.b_addr.eq(pipe.register(address(b, builder.entry, 1), f"b_addr{name}")),
                bank.w_en.eq(pipe.register(writes, f"w_en{name}")),
                bank.w_data.eq(Cat(write_data[:half], write_data[:half]))]
            words += [bank.a_data, bank.b_data][:len(own)]
        # Port A reads for the builder.
        read = Array(bank.a_data for bank in self.banks)[group >> (per - 1)]
        seen = pipe.register(Mux(builder.output[0], read[half:], read[:half]), "seen")
        m.d.comb += builder.seen.eq(seen)
        return words

    def _row_sums(self, m: Module, pipe: Pipeline, stages: int):
        """The memory of the rows' sums; returns the row in the cycle of the count."""
        m.submodules.rows = rows = self.rows
        builder = self.builder
        pair = pipe.delay(self.pair, LEAVES - 1 + stages - rows.latency, "row_pair")
        low, high = (rows.r_data[at:at + self.row].as_signed() for at in (0, self.row))
        odd = builder.output[0]
        m.d.comb += [
            rows.r_addr.eq(Mux(builder.busy, builder.output[1:], pair)),
            rows.r_en.eq(~builder.add), rows.w_addr.eq(builder.output[1:]),
            rows.w_en.eq(builder.add.replicate(len(rows.w_en))),
            rows.w_data.eq(Cat((low + Mux(odd, 0, builder.delta))[:self.row],
                               (high + Mux(odd, builder.delta, 0))[:self.row]))]
        return rows.r_data
