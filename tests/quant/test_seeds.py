"""``--seed``: one derivation for all commands, whose streams have nothing to do with each other."""

from itertools import combinations

import numpy as np
import pytest

from golden.base.cli import UserError
from quant.formats import RandomFormat
from quant.integer import lfsr

FMT = RandomFormat()
SMALL = RandomFormat(width=8, taps=(8, 6, 5, 4), k=3, round_bits=2, stream_jump=1)
DRAWS, FIRST = 4000, 40
BOUND = 6 / DRAWS ** 0.5        # of the correlation of independent draws; 16,000 are looked at


def draws(states) -> np.ndarray:
    """Of an output sampler's stream from each master seed, (n, DRAWS), mean 0 and deviation 1."""
    found = np.array([lfsr.words(FMT, lfsr.stream_start(FMT, state, 1), FMT.k, DRAWS)
                      for state in states], float)
    return (found - found.mean(1, keepdims=True)) / found.std(1, keepdims=True)


def derived(seeds) -> list[int]:
    return [lfsr.master_seed(FMT, seed) for seed in seeds]


@pytest.mark.parametrize("one, two", [(1, 3), (5, 11), (100, 200)])
def test_seeds_a_step_apart(one, two):
    """As states they give the same bits, moved by one; as seeds nothing of each other."""
    assert lfsr.apply(lfsr.step_matrix(FMT), one) == two
    assert np.prod(draws([one, two]), axis=0).mean() == pytest.approx(0.5, abs=0.05)
    assert abs(np.prod(draws(derived([one, two])), axis=0).mean()) < BOUND


def test_small_seeds_are_uncorrelated():
    """All pairs of the first seeds, and of each with the states that follow it, at some lags."""
    seeds = list(range(1, FIRST + 1))
    steps = [lfsr.apply(lfsr.step_matrix(FMT), seed) for seed in seeds]
    found = draws(derived(seeds + steps))
    pairs = list(combinations(range(FIRST), 2)) + [(k, FIRST + k) for k in range(FIRST)
                                                   if steps[k] != seeds[k]]
    for lag in range(-8, 9):
        moved = np.roll(found, lag, axis=1)
        worst = max(abs((found[a] * moved[b]).mean()) for a, b in pairs)
        assert worst < BOUND, lag


def test_no_two_seeds_are_few_steps_apart():
    """300 seeds, 4,096 steps of the generator: no state of one is the start of another."""
    states = np.array(derived(range(1, 301)), np.uint64)
    starts = set(states.tolist())
    assert len(starts) == 300
    for _ in range(4096):
        parity = sum(states >> np.uint64(tap - 1) for tap in FMT.taps) & np.uint64(1)
        states = (states << np.uint64(1) | parity) & np.uint64((1 << FMT.width) - 1)
        assert not starts & set(states.tolist())


def test_the_default_seed_stays():
    assert lfsr.master_seed(FMT, 44257) == 44257 == lfsr.SEED == lfsr.seed_of(FMT, 44257)
    assert lfsr.master_seed(lfsr.LONG, 44257) == 44257


def test_one_to_one():
    assert sorted(lfsr.master_seed(SMALL, seed) for seed in range(1, 256)) == list(range(1, 256))
    for fmt in (SMALL, FMT, lfsr.LONG):
        for seed in (1, 2, 77, 255, (1 << fmt.width) - 1):
            assert lfsr.seed_of(fmt, lfsr.master_seed(fmt, seed)) == seed
    for width in range(2, 65):
        pow(lfsr.SPREAD, -1, (1 << width) - 1)      # there is one


@pytest.mark.parametrize("seed", [0, -1, 1 << 32, 1.0, True, "1"])
def test_what_is_no_seed(seed):
    with pytest.raises(UserError, match="it must be in 1..4294967295"):
        lfsr.master_seed(FMT, seed)
