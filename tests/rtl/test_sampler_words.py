"""SamplerWords: words in order, sequences without a gap, the enable held back at random."""

from collections import deque

import numpy as np
import pytest
from amaranth.sim import Simulator

from quant.integer import lfsr
from quant.formats import RandomFormat
from quant.integer.memory import Draws, Fire
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from rtl.layer.sampler_words import SamplerWords
from tests.rtl.streams import configure, plain

LENGTHS = (9, 1, 1, 2, 16, 3)
KINDS = (lfsr.SAMPLER_IN, lfsr.SAMPLER_OUT)


def words_of(art, lanes, kind):
    """The words of one of layer 1's samplers, with the fraction bits of what it compares."""
    spec = plan(art, HardwareConfig(lanes)).layers[1]
    wire = [wire for wire in spec.cut.front + spec.cut.middle if isinstance(wire.op, Fire)][kind]
    return SamplerWords(spec, wire.op, wire.formats[0].f_bits)


def run(dut, expected, writes=(), held=0.3, seed=0, limit=4000, lengths=LENGTHS):
    """Ask for every word of sequences of ``lengths`` blocks of steps and check what comes.

    ``expected`` (blocks, words, values): draws, or start phases. New phases are random; they are
    back some cycles before they are asked for again.
    """
    rng, words = np.random.default_rng(seed), dut.geo.words
    phases = "back" in dir(dut)
    asked = deque((t, t == length - 1, w) for length in lengths for t in range(length)
                  for w in range(words))
    state, away = {}, set()         # phases by word; words whose phases are not back
    coming, returning = deque(), deque()
    checked, rest = 0, 0            # rest: cycles until another step may end

    async def bench(ctx):
        nonlocal checked, rest
        await ctx.tick()
        if writes:
            await configure(ctx, dut.cfg, writes)
        for cycle in range(limit):
            if not asked and not coming:
                return
            en = rng.random() >= held
            t, last, word = asked[0] if asked else (0, 0, 0)
            take = bool(asked) and en and not rest and word not in away
            ctx.set(dut.en, en)
            for name, value in (("take", take), ("first", t == 0), ("last", last), ("word", word)):
                ctx.set(getattr(dut, name), value)
            if phases:
                ctx.set(dut.back.valid, 0)
                if returning and en:
                    w, new = returning.popleft()
                    ctx.set(dut.back, {"valid": 1, "word": w, "phases": new})
                    state[w] = new
                    away.remove(w)
            if take:
                asked.popleft()
                rest = 2 if word == words - 1 and words == 1 else 0
                want = state[word] if phases and t else expected[t, word].tolist()
                if phases:
                    away.add(word)
                coming.append([dut.latency, word, want])
            rest = max(0, rest - 1)
            await ctx.tick()
            for entry in coming if en else ():
                entry[0] -= 1
            if coming and coming[0][0] == 0:
                _, word, want = coming.popleft()
                assert plain(ctx.get(dut.words)) == want, f"cycle {cycle}, word {word}"
                checked += 1
                if phases:
                    returning.append((word, rng.integers(1 << dut.f_bits, size=len(want)).tolist()))
        pytest.fail(f"stuck: {len(asked)} words not asked for after {limit} cycles")

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert checked == sum(lengths) * words


@pytest.mark.parametrize("kind", KINDS, ids=["in", "out"])
@pytest.mark.parametrize("options, lanes", [
    (dict(H=6, n=2), 4), (dict(H=3, n=2, residual="plain"), 6), (dict(H=5, n=1), 1),
    (dict(H=4, n=2, random=RandomFormat(k=5, centred=False)), 4)],
    ids=["words", "one word", "single", "coarse"])
@pytest.mark.parametrize("form", ["bernoulli", "sobol", "systematic"])
@pytest.mark.parametrize("block", [1, 2])
def test_words_of_sequences(block, form, options, lanes, kind):
    dut = words_of(random_artifact(2, length=32, sampling=form, block=block, **options), lanes,
                   kind)
    expected = dut.model(block * max(LENGTHS))
    assert expected.shape == ((1, dut.geo.words, dut.geo.G) if form == "systematic" else
                              (16, dut.geo.words, dut.geo.values))
    run(dut, expected)


def test_both_draws_of_a_neuron_follow_each_other():
    """Draw number ``(b H + i) 2 + p`` is neuron i's in step p of block b."""
    dut = words_of(random_artifact(2, H=6, n=2, block=2), 4, lfsr.SAMPLER_OUT)
    draws = lfsr.words(dut.spec.random, dut.source.start, dut.spec.random.k, 3 * 6 * 2)
    found = dut.model(6).reshape(3, dut.geo.words, 2, dut.geo.G)
    for b, w, p, g in np.ndindex(found.shape):
        assert found[b, w, p, g] == draws[(b * 6 + w * dut.geo.G + g) * 2 + p]


ROWS = 6        # direction numbers of up to 64 steps; the last is first used in step 32


@pytest.mark.parametrize("row", [None, *range(1, ROWS)])    # number 0 is a constant: the top bit
@pytest.mark.parametrize("block", [1, 2])
def test_every_direction_number_counts(block, row):
    """40 steps are right; with one wrong bit in any row of the memory they are not."""
    options = dict(H=2, n=2, length=64, sampling="sobol", block=block)
    right = words_of(random_artifact(2, **options), 4, lfsr.SAMPLER_OUT)
    region = right.directions.region
    assert region.depth == ROWS
    wrong = [(address, data ^ (address == region.base + (row or 0) * region.stride))
             for address, data in region.writes()]

    def check():
        run(right, right.model(40), wrong if row is not None else (), held=0.1,
            lengths=(40 // block, 2))
    if row is None:
        return check()
    with pytest.raises(AssertionError, match="cycle"):
        check()


def test_configured_over_the_bus():
    options = dict(H=4, n=2, length=16, sampling="sobol")
    dut = words_of(random_artifact(2, **options), 4, lfsr.SAMPLER_OUT)
    other = random_artifact(3, **options)
    regions = plan(other, HardwareConfig(4)).layers[1].regions
    _, sampler = (op for op in other.blocks[1] if isinstance(op, Fire))
    draws = Draws(other.random, other.seed, other.H, other.n, 16)
    words = sampler.words(other.x_format.f_bits, draws)
    run(dut, words.reshape(-1, dut.geo.words, dut.geo.G),
        regions["start_out"].writes() + regions["directions_out"].writes())
