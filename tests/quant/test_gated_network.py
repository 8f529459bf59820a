"""Binary S4D and GSU over a batch of sequences: equal to the reference of each."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from quant import gated_reference
from quant.integer.artifact import ArtifactError
from quant.formats import QuantConfig
from quant.gated_network import BLOCK, GatedIntegerNetwork
from tests.quant import gated

TIGHT = QuantConfig(state_bits=9, p_bits=6, input_bits=9, factor_bits=9, margin=0.6)
CASES = {
    "binary": ("binary", {}, QuantConfig()),
    "gsu": ("gsu", {}, QuantConfig(rounding="half_even")),
    "ties": ("gsu", {}, QuantConfig(rounding="half_even", coef_bits=5, g_bits=5)),
    "binary-saturates": ("binary", {"norm_position": "post", "vocab": 17}, TIGHT),
    "gsu-saturates": ("gsu", {"residual": "none"}, TIGHT),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_reference(case):
    kind, options, config = CASES[case]
    art = gated.artifact(kind, config, **options)
    if kind == "gsu":
        art = replace(art, fires_at_zero=False)         # of no effect: it has no step
    rng = np.random.default_rng(3)
    B = BLOCK + 2
    top = art.vocab - 1 if art.vocab else art.sample.hi
    lengths = rng.integers(1, 21, B)
    lengths[:2] = 1, 20
    values = rng.integers(0, top + 1, (B, 20))
    batch = GatedIntegerNetwork(art).run(values, lengths)
    for b in (0, 1, 2, B - 1):
        trace = gated_reference.run(art, values[b, :lengths[b]])
        np.testing.assert_array_equal(batch.logits[b], trace.logits)
        np.testing.assert_array_equal(batch.saturations[b], trace.saturations)
        np.testing.assert_array_equal(batch.spikes[b, :, 0], (trace.s != 0).sum((1, 2)))
        assert batch.labels[b] == trace.label
    assert (batch.saturations.sum() > 0) == (config.margin < 1)


def test_seed_restarts_the_rounding():
    art = gated.artifact(config=QuantConfig(state_bits=8))
    values = np.random.default_rng(0).integers(0, 16, (1, 20))
    logits = [GatedIntegerNetwork(art, seed).run(values).logits for seed in (None, art.seed, 7)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert (logits[0] != logits[2]).any()
    np.testing.assert_array_equal(logits[2][0], gated_reference.run(art, values[0], 7).logits)


@pytest.mark.parametrize("values, lengths, text", [
    ([[16]], None, "values must be in 0..15"), ([[1]], [2], "lengths of 1..1 steps"),
    ([[1]], [0], "lengths of 1..1 steps")])
def test_refuses(values, lengths, text):
    with pytest.raises(ValueError, match=text):
        GatedIntegerNetwork(gated.artifact()).run(np.array(values), lengths)


def test_threads_run_blocks_at_once_and_change_nothing(monkeypatch):
    art = gated.artifact(config=TIGHT)
    values = np.random.default_rng(4).integers(0, 16, (3 * BLOCK + 1, 12))
    one, two = (GatedIntegerNetwork(art, threads=count).run(values) for count in (1, 2))
    for name in ("logits", "labels", "saturations", "spikes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))

    def blocks_at_once(count):
        """Most blocks that were inside together; each waits a moment for a second one."""
        meet, inside, most, lock = threading.Event(), [0], [0], threading.Lock()
        plain = GatedIntegerNetwork._block

        def block(self, *args):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                if inside[0] == 2:
                    meet.set()
            meet.wait(5 if count > 1 else 0.2)
            try:
                return plain(self, *args)
            finally:
                with lock:
                    inside[0] -= 1
        with monkeypatch.context() as patch:
            patch.setattr(GatedIntegerNetwork, "_block", block)
            GatedIntegerNetwork(art, threads=count).run(values)
        return most[0]
    assert [blocks_at_once(count) for count in (1, 2)] == [1, 2]


def test_sums_beyond_the_exact_are_refused():
    art = gated.artifact()
    layer = art.spiking.layers[1]
    wide = replace(layer, w=layer.w << 45)
    with pytest.raises(ArtifactError, match="layer 1: a sum may need 5[0-9] bits"):
        GatedIntegerNetwork(replace(art, layers=(art.spiking.layers[0], wide)))
