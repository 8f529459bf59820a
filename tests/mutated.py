"""A small core against the reference, for mutants: every spike, signature, result and its cycle."""

from quant.integer import reference
from rtl.core import Core
from rtl.cycles import predict
from rtl.parts.config import HardwareConfig
from sim import pysim
from sim.compare import Tally
from tests.rtl.test_core import sequences


def compared(art, hw: HardwareConfig, lengths: tuple[int, ...], stall: float = 0.0) -> Tally:
    """Sequences back to back in Amaranth's simulator; it ends, whatever the core does."""
    core, values = Core(art, hw), sequences(art, lengths)
    cycles = predict(art, hw, list(lengths)).results
    seen = pysim.run(core, values, limit=3 * cycles[-1] + 200, stall=stall)
    tally = Tally(core.geo.words)
    for number, one in enumerate(values):
        tally.add(number, reference.run(art, one), seen.rows(number), seen.result(number))
    tally.surplus(0, *seen.surplus())
    assert tally.equal, tally.first
    assert stall or seen.cycles == cycles, f"cycles {seen.cycles}, predicted {cycles}"
    return tally
