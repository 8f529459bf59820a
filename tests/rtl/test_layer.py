"""A layer alone: its taps, its output, its counts and its latency against the reference."""

import numpy as np
import pytest

from golden.base.qformat import SQ
from quant.formats import LayerFormats
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.layer.layer import Layer
from rtl.plan import plan
from tests.rtl.fabric import observe, sequence_sums, x_words

LENGTHS = (2, 1, 1, 3)
TIGHT = LayerFormats(h=SQ(2, 12), x=SQ(3, 12))

# name: artifact, lanes
CASES = {
    "no residual": (dict(H=4, n=2, residual="none"), 1),
    "clampfuse": (dict(H=6, n=2, residual="clampfuse", rounding="half_even"), 4),
    "plain": (dict(H=4, n=4, residual="plain", stress=0.5, fmt=TIGHT), 4),
}


def expected(dut, x):
    """(spike words, output words, output saturations per sequence)."""
    art, geo = dut.spec.art, dut.spec.geo
    spikes = dut.engine.model(x_words(x, LENGTHS, geo.G))
    bits = np.array([[word["s_out"] >> g & 1 for g in range(geo.G)] for word in spikes])
    results = [dut.mixer.model({"s_out": s}, row) for s, row in zip(bits.reshape(-1, art.H), x)]
    return (spikes, x_words([out for out, _ in results], LENGTHS, geo.G),
            sequence_sums([over for _, over in results], LENGTHS))


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("case", CASES)
def test_matches_model(case, stall):
    shape, lanes = CASES[case]
    art = random_artifact(1, **shape)
    dut = Layer(plan(art, HardwareConfig(lanes)).layers[1])
    stream = art.spiking.residual == "plain"
    low, high = (-1 << 13, 1 << 13) if stream else (0, 1 << art.x_format.f_bits)
    x = np.random.default_rng(2).integers(low, high + 1, (sum(LENGTHS), art.H))
    spikes, words, over = expected(dut, x)
    pulses = ["tap", "count"] + ["stream_count"] * stream
    got, cycles = observe(dut, {"i": x_words(x, LENGTHS, dut.spec.geo.G)}, {"o": len(words)},
                          pulses, stall, seed=3)
    for j, (seen, want) in enumerate(zip(got["tap"], spikes, strict=True)):
        assert seen.items() <= want.items(), f"word {j}"
    assert got["o"] == words
    ends = [word for word in spikes if word["end"] and word["last"]]
    assert [count["value"] for count in got["count"]] == [word["saturations"] for word in ends]
    if stream:
        assert [count["value"] for count in got["stream_count"]] == over
        assert max(over) > 0 and ends[-1]["saturations"] > 0
    if not stall:
        first_step = cycles["i"][dut.spec.geo.words - 1]
        assert cycles["o"][0] - first_step == dut.latency
