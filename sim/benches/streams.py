"""Streams and configuration bus for cocotb: packed by Amaranth layouts, stalled at random."""

from collections.abc import Iterable
from random import Random

import cocotb
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

PERIOD_NS = 10


async def start(dut, *valids: str) -> None:
    """Start the clock and reset ``dut``; the named inputs are 0 meanwhile."""
    for name in valids:
        getattr(dut, name).value = 0
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    for _ in range(2):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


def pack(layout, word) -> int:
    """Bits of a payload given as an integer, a list or a dictionary."""
    if isinstance(layout, data.Layout):
        return layout.const(word).as_bits()
    return int(word)


def unpack(layout, bits: int):
    """Inverse of :func:`pack`."""
    if isinstance(layout, data.StructLayout):
        return {name: unpack(field.shape, _cut(bits, field)) for name, field in layout}
    if isinstance(layout, data.ArrayLayout):
        return [unpack(layout.elem_shape, _cut(bits, field)) for _, field in layout]
    if getattr(layout, "signed", False) and bits >> layout.width - 1:
        return bits - (1 << layout.width)
    return bits


def _cut(bits: int, field: data.Field) -> int:
    return bits >> field.offset & ((1 << field.width) - 1)


class Stream:
    """One stream port of a dut.

    Parameters
    ----------
    dut : handle
    name : str
        ``i`` for the ports ``i__payload``, ``i__valid``, ``i__ready``.
    layout : amaranth.lib.data.Layout
        Of the payload.
    stall : float
        Probability of holding the stream back in a cycle.
    seed : int
    """

    def __init__(self, dut, name: str, layout, stall: float = 0.0, seed: int = 1):
        self.clk, self.name, self.layout, self.stall = dut.clk, name, layout, stall
        self.payload, self.valid, self.ready = (getattr(dut, f"{name}__{part}") for part in
                                                ("payload", "valid", "ready"))
        self.random = Random(seed)

    async def put(self, words: Iterable) -> None:
        """Offer each word until it is taken; waits for ever."""
        for word in words:
            while self.stall and self.random.random() < self.stall:
                await RisingEdge(self.clk)
            self.payload.value, self.valid.value = pack(self.layout, word), 1
            await RisingEdge(self.clk)
            while not self.ready.value:
                await RisingEdge(self.clk)
            self.valid.value = 0

    async def get(self, count: int, limit: int = 20_000) -> list:
        """Take ``count`` words.

        Raises ``AssertionError`` after ``limit`` cycles, or when an offer changes before it was
        taken.
        """
        got, waiting = [], None
        for cycle in range(limit):
            ready = int(not self.stall or self.random.random() >= self.stall)
            self.ready.value = ready
            await RisingEdge(self.clk)
            if self.valid.value:
                word = int(self.payload.value)
                assert waiting in (None, word), \
                    f"{self.name}, cycle {cycle}: the offer {waiting:#x} became {word:#x}"
                waiting = None if ready else word
                if ready:
                    got.append(unpack(self.layout, word))
                    if len(got) == count:
                        self.ready.value = 0
                        return got
            else:
                assert waiting is None, f"{self.name}, cycle {cycle}: an offer was withdrawn"
        raise AssertionError(f"{self.name}: {len(got)} of {count} words after {limit} cycles")


async def exchange(dut, part, name: str, sends: dict[str, list], takes: dict[str, int],
                   stall: float, seed: int = 1) -> dict[str, list]:
    """Offer each list of ``sends`` and take the counts of ``takes``, all streams at once.

    ``part`` is the component whose ports are ``<name>__...`` of ``dut``; every stream stalls on
    its own. Starts the clock and resets first. Returns what came, by port.
    """
    ports = {port: Stream(dut, f"{name}__{port}", getattr(part, port).p.shape(), stall,
                          1000 * seed + j) for j, port in enumerate([*sends, *takes])}
    await start(dut, *(f"{name}__{port}__valid" for port in sends),
                *(f"{name}__{port}__ready" for port in takes))
    sources = [cocotb.start_soon(ports[port].put(words)) for port, words in sends.items()]
    sinks = {port: cocotb.start_soon(ports[port].get(count)) for port, count in takes.items()}
    got = {port: await sink for port, sink in sinks.items()}
    for source in sources:
        source.cancel()
    return got


async def pulses(dut, name: str, layout, found: list) -> None:
    """Append ``value`` in every cycle in which the structure ``name`` has ``valid``; for ever."""
    port = getattr(dut, name)
    while True:
        await RisingEdge(dut.clk)
        word = unpack(layout, int(port.value))
        if word["valid"]:
            found.append(word["value"])


async def configure(dut, writes: Iterable[tuple[int, int]], name: str = "cfg") -> None:
    """Write (address, word) pairs on a configuration bus, one a cycle."""
    en, addr, word = (getattr(dut, f"{name}__{part}") for part in ("en", "addr", "data"))
    for address, value in writes:
        en.value, addr.value, word.value = 1, address, value
        await RisingEdge(dut.clk)
    en.value = 0


def first_difference(expected: list, got: list) -> str | None:
    """The first place where two lists of words differ, as text."""
    for place, (want, have) in enumerate(zip(expected, got)):
        if want != have:
            if isinstance(want, dict):
                wrong = [f"{name}: expected {want[name]}, got {have[name]}" for name in want
                         if want[name] != have[name]]
                return f"word {place}, {'; '.join(wrong)}"
            return f"word {place}: expected {want}, got {have}"
    if len(expected) != len(got):
        return f"expected {len(expected)} words, got {len(got)}"
    return None
