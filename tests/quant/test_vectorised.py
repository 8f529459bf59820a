"""Networks that are not recognised run operation by operation and equal the reference of each."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from golden.base.qformat import SQ
from quant.formats import LayerFormats, QuantConfig
from quant.integer import network, reference
from quant.integer.artifact import ArtifactError
from quant.integer.bounds import bounds
from quant.integer.compiled import Compiled
from quant.integer.memory import Fire, States
from quant.integer.network import GROUP, IntegerNetwork, Vectorised
from quant.integer.operation import Operation
from quant.integer.ops import Clamp, Mix, Round
from quant.integer.sampling import FORMS
from quant.integer.synthetic import random_artifact
from tests.quant import stream
from tests.quant.toy import at, op_at, place_of, with_op

TIGHT = QuantConfig(state_bits=9, p_bits=6, input_bits=9, factor_bits=9, margin=0.6)
CASES = {
    "binary": ("binary", {}, QuantConfig()),
    "gsu": ("gsu", {}, QuantConfig(rounding="half_even")),
    "ties": ("gsu", {}, QuantConfig(rounding="half_even", coef_bits=5, g_bits=5)),
    "binary-saturates": ("binary", {"norm_position": "post", "vocab": 17}, TIGHT),
    "gsu-saturates": ("gsu", {"residual": "none"}, TIGHT),
    "strict": ("binary", {"fires_at_zero": False, "residual": "none"}, QuantConfig())}


def inputs_of(art, count, steps=20, seed=3):
    rng = np.random.default_rng(seed)
    low, top = (0, art.vocab - 1) if art.vocab else (art.sample.lo, art.sample.hi)
    lengths = rng.integers(1, steps + 1, count)
    lengths[:2] = 1, steps
    return rng.integers(low, top + 1, (count, steps)), lengths


def assert_equal(art, values, lengths, some, net=None):
    """The batch, and some of its sequences by the reference."""
    batch = (net or IntegerNetwork(art, threads=1)).run(values, lengths)
    for b in some:
        found = reference.execute(art, values[b, :lengths[b]])
        np.testing.assert_array_equal(batch.logits[b], found.logits)
        assert batch.labels[b] == found.label and set(batch.over) == set(found.over)
        for name, over in found.over.items():
            np.testing.assert_array_equal(batch.over[name][b], over, f"sequence {b}, {name}")
        np.testing.assert_array_equal(batch.spikes[b, :, -1],
                                      (found.values["s_out"] != 0).sum((1, 2)))
    return batch


@pytest.mark.parametrize("case", CASES, ids=str)
def test_streams_equal_the_reference(case):
    kind, options, config = CASES[case]
    art = stream.artifact(kind, config, **options)
    assert isinstance(IntegerNetwork(art), Vectorised)
    B = GROUP + 2
    batch = assert_equal(art, *inputs_of(art, B), (0, 1, 2, B - 1))
    assert (batch.saturations.sum() > 0) == (config.margin < 1)


OPTIONS = [(form, residual, seed) for seed, (form, residual) in enumerate(
    (form, residual) for form in FORMS for residual in ("none", "clampfuse", "plain", "replace"))]


@pytest.mark.parametrize("form, residual, seed", OPTIONS)
def test_every_option_of_samplers(form, residual, seed):
    """Three ways that must agree: reference, compiled, and one operation after the other."""
    art = random_artifact(seed, sampling=form, residual=residual, H=6, n=3, stress=0.3 * (seed % 2),
                          act=("relu", "gelu", "identity")[seed % 3], vocab=7 * (seed % 4 == 1),
                          rounding=("stochastic", "half_even")[seed // 2 % 2],
                          gelu_out=bool(seed % 5 % 2), gain=bool(seed % 3))
    values, lengths = inputs_of(art, 4)
    batch = assert_equal(art, values, lengths, range(4), Vectorised(art, threads=1))
    compiled = Compiled(art, threads=1).run(values, lengths)
    np.testing.assert_array_equal(batch.logits, compiled.logits)
    np.testing.assert_array_equal(batch.over["h"], compiled.over["h"])
    np.testing.assert_array_equal(batch.spikes[..., 0], compiled.spikes[..., 1])


def other_programs():
    """Programs of known operations that are none of P-SpikeSSM's blocks."""
    art = random_artifact(1, H=5, n=2)
    gelu = random_artifact(1, H=5, n=2, gelu_out=True)
    gain = random_artifact(1, H=5, n=2, gain=True)
    plain = random_artifact(1, H=5, n=2, residual="plain")
    wide = random_artifact(1, H=5, n=2, residual="plain", fmt=LayerFormats(
        p=plain.spiking.layers[0].fmt.p, alpha=SQ(4, 11)))
    twice = at(art, place_of(art, 0, Clamp))[0]
    ops = plain.blocks[0]
    fire = place_of(art, 1, Fire, "s_out")
    return {
        "a GELU in the last block": replace(art, blocks=(art.blocks[0], gelu.blocks[1])),
        "a GELU in the first block": replace(art, blocks=(gelu.blocks[0], art.blocks[1])),
        "a gain in one block": replace(art, blocks=(gain.blocks[0], art.blocks[1])),
        "a clamp twice": replace(art, blocks=((*art.blocks[0], replace(twice, wiring="x -> x")),
                                              art.blocks[1])),
        "another form at one sampler": with_op(art, fire, form="systematic"),
        "another rounding": with_op(art, place_of(art, 1, States), rounding="half_even"),
        "d finer than h": with_op(art, place_of(art, 0, States), d=replace(
            at(art, place_of(art, 0, States))[0].d, fmt=SQ(2, 14))),
        "one block's alpha": replace(wide, blocks=(ops, wide.blocks[1])),
        "other names": replace(art, blocks=(tuple(replace(op, wiring=op.wiring.replace("y", "v"))
                                                  for op in art.blocks[0]), art.blocks[1]))}


RECOGNISED = ("one block's alpha",)         # formats may differ between blocks


@pytest.mark.parametrize("name", other_programs())
def test_programs_that_are_not_recognised(name):
    art = other_programs()[name].check()
    if name not in RECOGNISED:
        with pytest.raises(ArtifactError, match=r"layer [01].*"):
            art.spiking
    assert isinstance(IntegerNetwork(art), Compiled if name in RECOGNISED else Vectorised)
    assert_equal(art, *inputs_of(art, 3), range(3))


@pytest.mark.parametrize("change, text", [
    (lambda ops: ops[1:], r"layer 1: found States \(s_in -> y\), but hardware needs Fire "
                          r"\(x -> s_in\) here; .* python -m quant.evaluate"),
    (lambda ops: ops[:-1], r"layer 1: it ends where hardware needs Clamp \(z -> x\);"),
    (lambda ops: (*ops, replace(ops[-1], wiring="x -> x")), r"layer 1: Clamp \(x -> x\) comes "
                                                           r"after the last operation"),
    (lambda ops: (ops[0], replace(ops[1], layer=0), *ops[2:]),
     r"layer 1: States \(s_in -> y\) has layer = 0, not 1;"),
    (lambda ops: (*ops[:3], replace(ops[3], number=2), *ops[4:]),
     r"layer 1: Fire \(y -> s_out\) has number = 2, not 3;"),
    (lambda ops: (*ops[:3], replace(ops[3], form="systematic"), *ops[4:]),
     r"layer 1: Fire \(y -> s_out\) has form = systematic, not bernoulli;"),
    (lambda ops: (ops[0], replace(ops[1], rounding="half_even"), *ops[2:]),
     "layer 1 has {.*'half_even'.*}, but layer 0 has {.*'stochastic'.*}; hardware needs layers")])
def test_refusals_name_the_operation(change, text):
    art = random_artifact(1)
    other = replace(art, blocks=(art.blocks[0], change(art.blocks[1])))
    with pytest.raises(ArtifactError, match=text) as error:
        other.spiking
    assert "\n" not in str(error.value)


def test_refusals_of_signs_gains_and_encoders():
    gain = random_artifact(1, gain=True)
    sign = with_op(gain, "0.6", a=np.full(8, 0))
    with pytest.raises(ArtifactError, match=r"layer 0: Scale \(z -> z\) must be a sign"):
        sign.spiking
    with pytest.raises(ArtifactError, match="a gain must be rounded to 12 bits"):
        with_op(gain, place_of(gain, 1, Round), bits=11).spiking
    for first, text in ((gain.first[:1], r"encoder: it ends where hardware needs Round \(x -> x\)"),
                        ((*gain.first, Clamp("x -> x")), r"encoder: Clamp \(x -> x\) comes after"),
                        ((replace(gain.first[0], a=None), *gain.first[1:]),
                         r"encoder: Scale \(v -> x\) has a = None, not a tensor")):
        with pytest.raises(ArtifactError, match=text):
            replace(gain, first=first).spiking
    with pytest.raises(ArtifactError, match=r"layer 0: found Scale \(x -> u\), but hardware "
                                            "needs Fire"):
        stream.artifact().spiking


def test_seed_restarts_the_rounding():
    art = stream.artifact(config=QuantConfig(state_bits=8))
    values = np.random.default_rng(0).integers(0, 16, (1, 20))
    logits = [IntegerNetwork(art, seed).run(values).logits for seed in (None, art.seed, 7)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert (logits[0] != logits[2]).any()
    np.testing.assert_array_equal(logits[2][0], reference.execute(art, values[0], 7).logits)


@pytest.mark.parametrize("values, lengths, text", [
    ([[16]], None, "values must be in 0..15"), ([[1]], [2], "lengths of 1..1 steps"),
    ([[1]], [0], "lengths of 1..1 steps")])
def test_refuses(values, lengths, text):
    with pytest.raises(ValueError, match=text):
        IntegerNetwork(stream.artifact()).run(np.array(values), lengths)


def test_threads_run_groups_at_once_and_change_nothing(monkeypatch):
    art = stream.artifact(config=TIGHT)
    values = np.random.default_rng(4).integers(0, 16, (3 * GROUP + 1, 12))
    one, two = (IntegerNetwork(art, threads=count).run(values) for count in (1, 2))
    np.testing.assert_equal(vars(one), vars(two))

    def groups_at_once(count):
        """Most groups that were inside together; each waits a moment for a second one."""
        meet, inside, most, lock = threading.Event(), [0], [0], threading.Lock()
        plain = Vectorised._group

        def group(self, *args):
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
            patch.setattr(Vectorised, "_group", group)
            IntegerNetwork(art, threads=count).run(values)
        return most[0]
    assert [groups_at_once(count) for count in (1, 2)] == [1, 2]


def test_groups_are_smaller_where_sequences_are_long(monkeypatch):
    art = stream.artifact("gsu")
    values, lengths = inputs_of(art, 9)
    whole = IntegerNetwork(art, threads=1).run(values, lengths)
    monkeypatch.setattr(network, "MEMORY", 80 * 20 * art.H * 2)
    net, sizes, plain = IntegerNetwork(art, threads=1), [], Vectorised._group
    monkeypatch.setattr(Vectorised, "_group", lambda self, values, *rest: sizes.append(
        len(values)) or plain(self, values, *rest))
    np.testing.assert_equal(vars(net.run(values, lengths)), vars(whole))
    assert sizes == [2, 2, 2, 2, 1]


def test_sums_beyond_float64_are_integers():
    """Above 2**53 columns are summed in int64, where float64 would lose the last bits."""
    art = stream.artifact()
    place = place_of(art, 1, Mix, "n")
    w = op_at(art, place).w
    wide = with_op(art, place, w=replace(w, raw=(w.raw << 45) + 1, fmt=SQ(53, 0)))
    assert 1 << 53 < bounds(wide).stream < 1 << 63
    assert not Vectorised(wide).exact and Vectorised(art).exact
    (op, formats), s = at(wide, place), np.eye(6, dtype=np.int64)[[0, 1, 5]] + 1
    want = op.apply(formats, s)
    np.testing.assert_array_equal(Vectorised(wide)._apply(op, formats, [s]), want)
    assert (s.astype(float) @ op.w.raw.T.astype(float) != s @ op.w.raw.T).any()
    assert_equal(wide, *inputs_of(wide, 3), range(3))
    wide = with_op(art, place, w=replace(w, raw=w.raw.astype(object) << 60, fmt=SQ(68, 0)))
    with pytest.raises(ArtifactError, match="a sum of this artifact may need [67][0-9] bits, 64 "):
        IntegerNetwork(wide)


@pytest.mark.parametrize("make", [lambda: random_artifact(4, stress=1.0, act="gelu", gain=True),
                                  lambda: stream.artifact("gsu", TIGHT)], ids=["samplers", "gsu"])
def test_bounds_hold_for_every_value(make):
    """No value of a run is larger than what was proven of its operation."""
    art = make()
    values, lengths = inputs_of(art, 3)
    largest = bounds(art)
    for v, L in zip(values, lengths):
        found = reference.execute(art, v[:L])
        assert max(abs(raw).max() for raw in found.values.values()) <= largest.stream


def test_another_memory_runs_step_after_step():
    """An operation that the fast network does not know, with a memory of its own."""
    class Hold(Operation):
        """What the step before had."""
        states = True

        def format(self, x):
            return x

        def begin(self, formats, draws):
            last = [np.zeros(draws.H, np.int64)]

            def step(x):
                last.append(x)
                return last[-2]
            return step
    art = stream.artifact()
    held = replace(art, blocks=((Hold("x -> x"), *art.blocks[0]), art.blocks[1])).check()
    values = np.stack([np.arange(9), np.arange(9)[::-1]])
    batch = IntegerNetwork(held, threads=1).run(values, np.array([9, 4]))
    for k, L in enumerate((9, 4)):
        want = reference.execute(held, values[k, :L]).logits
        assert (want != reference.execute(art, values[k, :L]).logits).any()
        np.testing.assert_array_equal(batch.logits[k], want)
