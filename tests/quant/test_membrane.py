"""Integrate-and-fire neurons in integers: by hand, in fractions, and all steps at once."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ, QFormat
from quant.formats import BIT, QuantConfig
from quant.integer import artifact, reference
from quant.integer.bounds import bounds
from quant.integer.membrane import Integrate
from quant.integer.memory import States
from quant.integer.network import GROUP, IntegerNetwork, Vectorised
from quant.integer.operation import ArtifactError, Tensor
from quant.integer.signature import rotl
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from tests.quant import lif
from tests.quant.test_vectorised import assert_equal, inputs_of
from tests.quant.toy import content, op_at, place_of, with_op

TIGHT = QuantConfig(state_bits=7, coef_bits=5, p_bits=6, margin=0.6, rounding="half_even")


def neurons(leak, theta, v: QFormat, reset="subtract", leak_bits=4) -> Integrate:
    leak = np.atleast_1d(np.asarray(leak, np.int64))
    return Integrate("y -> s", Tensor(leak, UQ(0, leak_bits)),
                     Tensor(np.array(theta), SQ(v.i_bits, v.f_bits)), v, reset)


def driven(op: Integrate, y_fmt: QFormat, y):
    """(u, s, v) of every step and the saturations, for the inputs y (L,) or (L, H)."""
    run, found = op.begin((y_fmt,), None), []
    for now in np.asarray(y, np.int64).reshape(len(y), -1):
        s = run(now)
        found.append((run.u.copy(), s, run.v.copy()))
    return *(np.array(part) for part in zip(*found)), run.over


def test_a_threshold_hit_exactly():
    """It fires at theta and not one LSB below; both resets."""
    fmt, y = SQ(4, 2), [7, 1, 8, 9]                                              # 7 * 15 / 16 is 7
    for reset, left in (("subtract", [7, 0, 0, 1]), ("zero", [7, 0, 0, 0])):
        u, s, v, over = driven(neurons(15, 8, fmt, reset), fmt, y)
        assert u[:, 0].tolist() == [7, 8, 8, 9] and s[:, 0].tolist() == [0, 1, 1, 1]
        assert v[:, 0].tolist() == left and over == 0


@pytest.mark.parametrize("raw, rounded", [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2),
                                          (-5, -2), (-7, -4)])
def test_ties_go_to_the_even_one(raw, rounded):
    """v is half of an odd number: leak 1/2; and so is a y of one fraction bit more than v."""
    fmt = SQ(5, 2)
    assert driven(neurons(8, 60, fmt), fmt, [raw, 0])[0][:, 0].tolist() == [raw, rounded]
    assert driven(neurons(0, 60, fmt), SQ(5, 3), [raw])[0][:, 0].tolist() == [rounded]


def test_both_ends_saturate_and_are_counted():
    fmt = SQ(3, 1)                                                          # -8 to 7
    u, s, v, over = driven(neurons(15, 7, fmt), SQ(6, 1), [7, 8, 31, -8, -9, -32])
    assert u[:, 0].tolist() == [7, 7, 7, -8, -8, -8] and over == 4
    assert s[:, 0].tolist() == [1, 1, 1, 0, 0, 0] and v[:3, 0].tolist() == [0, 0, 0]
    u, s, v, over = driven(neurons(15, 5, fmt), SQ(6, 1), [31, 31])
    assert v[:, 0].tolist() == [2, 2] and over == 2         # u is what saturates, then the reset
    assert driven(neurons(15, 5, fmt, "zero"), SQ(6, 1), [31, 31])[2][:, 0].tolist() == [0, 0]


def test_no_leak_at_all_and_nearly_none():
    fmt, y = SQ(8, 4), [100] + [0] * 6
    assert driven(neurons(0, 1000, fmt), fmt, y)[0][:, 0].tolist() == y
    slow = driven(neurons((1 << 16) - 1, 1000, fmt, leak_bits=16), fmt, y)[0]
    assert slow[:, 0].tolist() == [100] * 7                     # to the nearest: it never decays


def test_one_membrane_for_each_neuron_and_zero_at_the_start():
    op = neurons([0, 8, 15], 8, SQ(4, 2))
    u = driven(op, SQ(4, 2), [[4, 4, 4]] * 3)[0]
    assert u.tolist() == [[4, 4, 4], [4, 6, 8], [4, 7, 4]]
    run = op.begin((SQ(4, 2),), None)
    assert run(np.array([4, 4, 4])).tolist() == [0, 0, 0] and run.u.shape == (3,)


def in_fractions(op: Integrate, y_fmt: QFormat, y):
    """The specification once more, in Python's fractions; u and s of one neuron's inputs y."""
    one, theta = Fraction(2) ** op.v.f_bits, Fraction(int(op.theta.raw))
    leak, v = Fraction(int(op.leak.raw[0])) / 2 ** op.leak.fmt.f_bits, Fraction(0)
    for now in y:
        exact = leak * v + Fraction(int(now)) / Fraction(2) ** y_fmt.f_bits * one
        u = Fraction(min(max(round(exact), op.v.lo), op.v.hi))
        s = int(u >= theta)
        v = u - theta * s if op.reset == "subtract" else u * (1 - s)
        yield int(u), s


@pytest.mark.parametrize("seed", range(40))
def test_random_neurons_equal_fractions(seed):
    """In any formats: y finer or coarser than v, few and many bits; all steps at once the same."""
    rng = np.random.default_rng(seed)
    v, y_fmt = SQ(int(rng.integers(2, 6)), int(rng.integers(0, 9))), (
        BIT if seed % 5 == 0 else SQ(int(rng.integers(1, 6)), int(rng.integers(0, 12))))
    bits = int(rng.integers(1, 17))
    op = neurons(rng.integers(0, 1 << bits, 3), rng.integers(1, v.hi + 1), v,
                 ("subtract", "zero")[seed % 2], bits)
    y = rng.integers(y_fmt.lo, y_fmt.hi + 1, (4, 60, 3))
    s, saturated, shown = op.along((y_fmt,), None, y, place=seed % 3)
    for b in range(4):
        u, want, _, over = driven(op, y_fmt, y[b])
        np.testing.assert_array_equal(s[b], want)
        np.testing.assert_array_equal(shown[b], rotl(u, 23 if seed % 3 else 0))
        assert saturated[b].sum() == over
        assert abs(u).max() <= op.bound((y_fmt,), max(-y_fmt.lo, y_fmt.hi))
        for i in range(3):
            one = replace(op, leak=Tensor(op.leak.raw[i:i + 1], op.leak.fmt))
            assert list(in_fractions(one, y_fmt, y[b, :, i])) == list(
                zip(u[:, i].tolist(), want[:, i].tolist()))


CASES = [(case, config) for case in lif.CASES for config in ((QuantConfig(), TIGHT) if case in (
    "clampfuse", "plain-alone") else (QuantConfig(),))]


@pytest.mark.parametrize("case, config", CASES, ids=[f"{k}-{c.state_bits}" for k, c in CASES])
def test_whole_networks_equal_the_reference(case, config):
    art = lif.artifact(config, **lif.CASES[case])
    assert (art.n == 0) == ("drive" in lif.CASES[case]) and len(art.decoder_w.raw.T) == art.H
    net, B = IntegerNetwork(art, threads=1), GROUP + 2
    assert isinstance(net, Vectorised) and bounds(art).stream < 1 << 53
    batch = assert_equal(art, *inputs_of(art, B), (0, 1, B - 1))
    assert (batch.over["v"].sum() > 0) == (config is TIGHT)
    assert 0 < batch.spikes.sum() < batch.lengths.sum() * art.H * len(art.blocks)


def test_blocks_with_states_and_without_in_one_network():
    """A block without takes no number of random words from those behind it; fewer words fit less.
    """
    alone, driven = (random_artifact(3, kind="lif", n=n) for n in (0, 4))
    art = replace(alone, blocks=(alone.blocks[0], driven.blocks[1])).check()
    assert art.recurrences == 2 and op_at(art, place_of(art, 1, States)).layer == 1
    batch = assert_equal(art, *inputs_of(art, 3), range(3))
    assert batch.over["h"].shape == (3, 3) and not batch.over["h"][:, 0].any()
    with pytest.raises(ArtifactError, match="66 streams need"):
        random_artifact(1, 22, 2, 0, kind="lif")


def test_saturations_of_states_and_membranes_are_one_count():
    over = {"h": np.array([1, 2, 0]), "v": np.array([10, 20, 0]), "x": np.array([3, 4, 5])}
    assert ART.memories == ("v", "h")
    assert reference.saturations(over, ART).tolist() == [11, 22, 12]
    assert reference.saturations({"v": over["v"]}, ART).tolist() == [10, 20, 0]


ART = lif.artifact()


@pytest.mark.parametrize("change, text", [
    ({"reset": "half"}, "reset must be subtract or zero, not 'half'"),
    ({"leak": Tensor(np.zeros(6, int), SQ(1, 15))}, "leak must be UQ.0, f., below 1, not SQ.1,15"),
    ({"leak": Tensor(np.zeros(6, int), UQ(1, 15))}, "leak must be UQ.0, f., below 1, not UQ.1,15"),
    ({"leak": np.full(6, 1 << 16)}, "leak: 6 of 6 values outside"),
    ({"leak": np.zeros(5, int)}, r"leak: shape \(5,\), expected \(6,\)"),
    ({"leak": np.array(3)}, r"Integrate \(x -> s_in\), leak: shape \(\), expected \(H\)"),
    ({"theta": np.array(0)}, "theta must be above 0 and at most .*, not 0"),
    ({"theta": np.array(-1)}, "theta must be above 0 and at most .*, not -1"),
    ({"theta": np.ones(6, int)}, r"theta: shape \(6,\), expected \(\)"),
    ({"theta": Tensor(np.array(1), SQ(3, 2))}, "theta SQ.3,2. must have the 13 fraction bits"),
    ({"v": UQ(2, 13)}, r"v must be signed, not UQ.2,13"),
    ({"v": SQ(1, 13)}, "theta must be above 0 and at most 8191, the largest membrane, not 8192"),
    ({"v": None}, "v is missing")])
def test_refusals(change, text):
    with pytest.raises(ArtifactError, match=text) as error:
        with_op(ART, place_of(ART, 1, Integrate), **change).check()
    assert "\n" not in str(error.value)


def test_a_block_needs_a_memory():
    blocks = tuple(op for op in ART.blocks[1] if not op.states)
    with pytest.raises(ArtifactError, match=r"no layers, or one without a memory .States, Int"):
        replace(ART, blocks=(ART.blocks[0], blocks)).check()


def test_sums_beyond_64_bits_are_refused():
    wide = lif.artifact(drive="spikes")
    place = place_of(wide, 0, Integrate)
    op = op_at(wide, place)
    wide = with_op(wide, place, v=SQ(20, 35), theta=Tensor(op.theta.raw, SQ(20, 35)))
    with pytest.raises(ArtifactError, match="a sum of this artifact may need 7. bits"):
        bounds(wide.check())


@pytest.mark.parametrize("options", [{}, {"drive": "spikes"}], ids=str)
def test_files_and_hardware(options, tmp_path):
    """Saved and loaded it is the same, and the RTL has a place for its membranes."""
    art = lif.artifact(**options)
    artifact.save(art, tmp_path / "a")
    np.testing.assert_equal(content(artifact.load(tmp_path / "a")), content(art))
    assert any("theta" in region.name for region in plan(art, HardwareConfig(1)).regions)
