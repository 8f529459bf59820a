"""Encoder against encode of the reference: every sample value, tokens, stalls, timing."""

import numpy as np
import pytest

from golden.base.qformat import SQ
from golden.tasks.formats import MU_LAW, PCM
from quant.formats import LayerFormats
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.encoder import Encoder
from rtl.plan import plan
from tests.rtl.fabric import observe, sequence_sums, x_words

# name: artifact, lanes
CASES = {
    "samples": (dict(H=6, n=2, residual="none", stress=0.2), 2),
    "two products": (dict(H=6, n=2, residual="clampfuse", stress=0.2), 4),
    "plain": (dict(H=4, n=2, residual="plain", stress=0.4, fmt=LayerFormats(x=SQ(2, 12))), 4),
    "signed": (dict(H=6, n=2, stress=0.2, sample=MU_LAW), 4),
    "signed plain": (dict(H=4, n=2, residual="plain", stress=0.4, sample=PCM,
                          fmt=LayerFormats(x=SQ(2, 12))), 4),
    "whole layer": (dict(H=4, n=2, residual="plain"), 8),
    "tokens": (dict(H=6, n=2, vocab=5), 4),
    "plain tokens": (dict(H=3, n=2, vocab=9, residual="plain"), 2),
    "one token": (dict(H=1, n=2, vocab=1), 2),
}


def encoder(art, lanes):
    return Encoder(plan(art, HardwareConfig(lanes)).encoder)


def samples(values, lengths):
    ends = set(np.cumsum(lengths) - 1)
    return [{"value": int(v), "last": int(t in ends)} for t, v in enumerate(values)]


def check(art, lanes, values, lengths, stall=0.0):
    dut = encoder(art, lanes)
    results = [dut.model(int(v)) for v in values]
    want = x_words([x for x, _ in results], lengths, dut.geo.G)
    pulses = ["count"] if art.spiking.residual == "plain" else []
    got, cycles = observe(dut, {"i": samples(values, lengths)}, {"o": len(want)}, pulses, stall,
                          seed=1)
    for j, (out, word) in enumerate(zip(got["o"], want)):
        assert out == word, f"sample {values[j // dut.geo.words]}, word {j % dut.geo.words}"
    counts = sequence_sums([over for _, over in results], lengths)
    assert [count["value"] for count in got.get("count", [])] == (counts if pulses else [])
    return dut, cycles, counts


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("case", CASES)
def test_matches_model(case, stall):
    shape, lanes = CASES[case]
    art = random_artifact(2, **shape)
    lengths = (3, 1, 1, 4)
    low, top = (0, art.vocab - 1) if art.vocab else (art.sample.lo, art.sample.hi)
    rng = np.random.default_rng(3)
    values = np.concatenate([[low, top, top, low], rng.integers(low, top + 1, sum(lengths) - 4)])
    dut, cycles, counts = check(art, lanes, values, lengths, stall)
    assert case not in ("plain", "signed plain") or max(counts) > 0
    if not stall:
        assert cycles["i"] == [j * dut.interval for j in range(len(values))]
        first = cycles["i"][0] + dut.latency
        assert cycles["o"] == list(range(first, first + len(cycles["o"]))), "a word per cycle"


def test_every_sample_value():
    """All 256 samples, unsigned and signed, against coefficients that tie and clamp."""
    check(random_artifact(4, H=4, n=2, stress=0.3), 8, np.arange(256), (256,))
    check(random_artifact(4, H=4, n=2, stress=0.3, sample=MU_LAW), 8, np.arange(-128, 128), (256,))
