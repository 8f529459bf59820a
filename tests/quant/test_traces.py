"""What verification compares exists for every causal network: spikes, signatures, saturations."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from quant.integer import lfsr, reference, sampling
from quant.integer.compiled import Compiled
from quant.integer.membrane import Integrate
from quant.integer.memory import Fire, States
from quant.integer.network import GROUP, IntegerNetwork, Vectorised
from quant.integer.operation import ArtifactError, Operation, Tensor, wired
from quant.integer.ops import Limit
from quant.integer.signature import crc32, rotl
from quant.integer.synthetic import KINDS, random_artifact
from quant.integer.vectors import expected, load, make, save
from tests.quant.test_membrane import in_fractions
from tests.quant.toy import op_at, place_of
from tests.quant.two_sided import random_two_sided

FIELDS = ("s_in", "s_out", "signature", "logits", "label", "saturations")
STREAMS = [{"kind": kind, "norm_position": position, "residual": residual}
           for kind, position, residual in itertools.product(
               ("glu", "gsu"), ("pre", "post"), ("plain", "none"))]
SAMPLERS = [{"sampling": form, "residual": residual} for form, residual in itertools.product(
    sampling.FORMS, ("none", "clampfuse", "plain", "replace"))]
LEAKY = [{"kind": "lif", "reset": reset, "residual": residual} | modes
         for reset, modes, residual in itertools.product(
             ("subtract", "zero"), ({}, {"n": 0}), ("none", "clampfuse", "plain"))]
OPTIONS = [options | {
    "rounding": ("stochastic", "half_even")[number % 2], "stress": 0.2 * (number % 3 == 1),
    "vocab": 7 * (number % 4 == 3)} for number, options in enumerate(STREAMS + SAMPLERS + LEAKY)]


def inputs_of(art, count=3, steps=23, seed=3):
    rng = np.random.default_rng(seed)
    low, top = (0, art.vocab - 1) if art.vocab else (art.sample.lo, art.sample.hi)
    lengths = rng.integers(1, steps + 1, count)
    lengths[:2] = 1, steps
    return rng.integers(low, top + 1, (count, steps)), lengths


def assert_trace(got, want, what=""):
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), f"{what}{name}")


@pytest.mark.parametrize("number", range(len(OPTIONS)), ids=lambda n: "-".join(
    map(str, OPTIONS[n].values())))
def test_fast_traces_are_the_reference(number):
    """And of samplers the compiled ones."""
    for seed, shape in enumerate(((2, 6, 3), (1, 3, 1))):
        options = dict(zip(("n_layers", "H", "n"), shape)) | OPTIONS[number]
        art = random_artifact(10 * number + seed, **options)
        values, lengths = inputs_of(art)
        batch = Vectorised(art, 77, threads=1).run(values, lengths, record=True)
        for b, L in enumerate(lengths):
            want = reference.run(art, values[b, :L], 77)
            assert_trace(batch.trace(b), want, f"sequence {b}, ")
            for raw in (batch.s_in, batch.s_out, batch.signature):
                assert not raw[b, :, L:].any()
        if "sampling" in OPTIONS[number]:
            compiled = Compiled(art, 77, threads=1).run(values, lengths, record=True)
            for name in ("s_in", "s_out", "signature", "logits"):
                np.testing.assert_array_equal(getattr(batch, name), getattr(compiled, name), name)
            for b in range(len(values)):
                assert_trace(batch.trace(b), compiled.trace(b))


@pytest.mark.parametrize("options", [{"act": "gelu", "gelu_out": True, "gain": True,
                                      "residual": "replace"}, {"kind": "gsu"}], ids=str)
def test_more_sequences_than_a_group(options):
    art = random_artifact(5, 1, 3, 2, **options)
    values, lengths = inputs_of(art, GROUP + 3, 9)
    one, two = (Vectorised(art, threads=count).run(values, lengths, True) for count in (1, 2))
    np.testing.assert_equal(vars(one), vars(two))
    for b in (0, GROUP, GROUP + 2):
        assert_trace(one.trace(b), reference.run(art, values[b, :lengths[b]]))


def membranes(op, fmt, drive):
    """Those before the reset (L, H), in fractions, for the drive (L, H)."""
    one = [replace(op, leak=Tensor(op.leak.raw[i:i + 1], op.leak.fmt))
           for i in range(len(op.leak.raw))]
    return np.array([[u for u, _ in in_fractions(each, fmt, raws)]
                     for each, raws in zip(one, drive.T)]).T


def terms(art, values):
    """Every part of the neuron words (N, L, H) by its name, from the page and what was recorded.

    Python integers, one neuron after the other; draws straight from the generator.
    """
    found, L, H = reference.execute(art, values), len(values), art.H
    first = reference.Running(art.first, {"v": art.input_format}, None)
    x = [np.stack([first(v=np.array([v])) for v in values]), *found.values["x"][:-1]]
    parts = {}

    def add(name, j, raw, by):
        part = parts.setdefault(name, np.zeros((len(art.blocks), L, H), object))
        for at in np.ndindex(L, H):
            low = int(raw[at]) % 2 ** 32
            part[j][at] ^= (low << by % 32 | low >> 32 - by % 32) % 2 ** 32

    def stream(number, bits, rows, columns):
        start = lfsr.stream_start(art.random, art.seed, number)
        return lfsr.words(art.random, start, bits, rows * columns).reshape(rows, columns)

    for j, ops in enumerate(art.blocks):
        of = {(type(op), op.makes): op for op in ops}
        states, k = next((op for op in ops if isinstance(op, States)), None), art.random.k
        source = ops[0].reads[0] if ops[0].states else ops[0].makes
        entered = x[j] if source == "x" else found.values[source][j]
        if (Integrate, "s_in") in of:
            formats = wired(ops, {"x": art.x_format})[1]
            add("taken", j, membranes(of[Integrate, "s_in"], formats[source], entered), 0)
            add("membrane out", j, membranes(of[Integrate, "s_out"], formats["y"],
                                             found.values["y"][j]), 23)
        else:
            add("taken", j, entered, 0)
        if (Fire, "s_in") in of:
            add("draws in", j, stream(3 * j, k, L, H), 11)
            add("draws out", j, stream(3 * j + 1, k, L, H), 23)
        add("y", j, found.values["y"][j], 3)
        if not states:
            continue
        words = stream(3 * j + 2, 2 * art.random.round_bits, L * H, art.n).reshape(L, H, art.n)
        for mode in range(art.n):
            add("re", j, found.h_re[j, ..., mode], 5 * mode + 1)
            add("im", j, found.h_im[j, ..., mode], 5 * mode + 17)
            if states.rounding == "stochastic":
                add("rounding", j, words[..., mode], 5 * mode + 9)
    return parts


DIRECT = [{"residual": "clampfuse"}, {"residual": "plain", "gelu_out": True}, *STREAMS,
          {"kind": "gsu", "rounding": "half_even"}, *LEAKY[::4]]


@pytest.mark.parametrize("options", DIRECT,
                         ids=lambda options: "-".join(map(str, options.values())))
def test_words_are_those_of_the_page(options):
    """And without any one of its parts a signature is another one in almost every step."""
    art = random_artifact(3, 2, 5, **{"n": 8} | options)
    values = np.random.default_rng(0).integers(0, 256, 12)     # the first ones make no spikes yet
    want, parts = reference.run(art, values).signature, terms(art, values)
    assert len(parts) == (3 if options.get("n") == 0 else 5 - (
        options.get("rounding") == "half_even") + {None: 2, "lif": 1}.get(options.get("kind"), 0))

    def signed(names):
        word = np.bitwise_xor.reduce([parts[name] for name in names])
        return np.array([[crc32(step) for step in layer] for layer in word])
    np.testing.assert_array_equal(signed(parts), want)
    for name in parts:
        wrong = signed([other for other in parts if other != name]) != want
        assert wrong.mean() > 0.7, name


def test_a_wrong_bit_of_the_stream_is_seen():
    """One low bit of what enters the states, in one step of one neuron, and no spike is another."""
    art, values = random_artifact(3, kind="glu"), np.arange(30) * 8
    right = reference.run(art, values)

    class Wrong(Limit):
        def apply(self, formats, x):
            raw, over = super().apply(formats, x)
            raw[..., 2] ^= (raw[..., 2] & 7) == 5
            return raw, over
    place = place_of(art, 1, Limit, "u")
    ops = list(art.blocks[1])
    ops[int(place.split(".")[1])] = Wrong(*vars(op_at(art, place)).values())
    other = replace(art, blocks=(art.blocks[0], tuple(ops)))
    wrong = reference.run(other, values)
    changed = np.flatnonzero(wrong.signature[1] != right.signature[1])
    assert len(changed) and (wrong.signature[0] == right.signature[0]).all()
    np.testing.assert_array_equal(wrong.s_out[1, :changed[0] + 1], right.s_out[1, :changed[0] + 1])


@pytest.mark.parametrize("kind", KINDS)
def test_saturations_are_of_memories_and_of_the_stream(kind):
    art = random_artifact(2, 3, kind=kind, stress=0.4, residual="plain")
    values, _ = inputs_of(art, 2, 40)
    found, trace = reference.execute(art, values[0]), reference.run(art, values[0])
    assert art.memories == (("v", "h") if kind == "lif" else ("h",))
    memories = sum(found.over[name] for name in art.memories)
    assert trace.saturations.tolist() == [*memories[:-1], found.over["x"].sum()]
    assert trace.saturations.all()
    if kind in ("glu", "gsu"):
        assert sum(over.sum() for over in found.over.values()) > trace.saturations.sum()


@pytest.mark.parametrize("kind, signs, enters", [
    ("paper", {0, 1}, True), ("glu", {0, 1}, False), ("gsu", {-1, 0, 1}, False),
    ("lif", {0, 1}, True)])
def test_spikes_of_traces_and_their_files(kind, signs, enters, tmp_path):
    art = random_artifact(2, 3, 5, 2, kind=kind)
    values, lengths = inputs_of(art, 4, 13)
    made = make(art, values, lengths)
    for trace, L in zip(made.traces, lengths):
        assert trace.s_out.shape == (3, L, 5) and trace.s_out.dtype == np.int8
        assert trace.s_in.shape == (3, L, 5 * enters) and trace.s_in.dtype == np.int8
    assert set(np.concatenate([t.s_out.ravel() for t in made.traces])) == signs
    back = load(save(made, tmp_path / "vectors.npz"), art)
    for got, want in zip(back.traces, made.traces):
        assert_trace(got, want)


class Hold(Operation):
    """What the step before had: a memory of a user's own."""

    states = True

    def format(self, x):
        return x

    def begin(self, formats, draws):
        return Held(draws.H)


class Held:
    def __init__(self, H):
        self.last = np.zeros(H, np.int64)

    def __call__(self, x):
        before, self.last = self.last, x
        return before


class Shown(Held):
    def shown(self, place):
        return rotl(self.last, 2 + place)


def test_another_memory_shows_what_it_says(monkeypatch):
    art = random_artifact(1, kind="gsu")
    held = replace(art, blocks=((Hold("x -> x"), *art.blocks[0]), art.blocks[1])).check()
    values, lengths = inputs_of(held)
    with pytest.raises(ArtifactError, match=r"layer 0, Hold \(x -> x\): it shows the signature "
                                            r"nothing.*; give what its begin returns a method"):
        reference.run(held, values[1])
    with pytest.raises(ArtifactError, match="no traces"):
        IntegerNetwork(held).run(values, lengths, record=True)
    assert IntegerNetwork(held).run(values, lengths).signature.size == 0
    monkeypatch.setattr(Hold, "begin", lambda self, formats, draws: Shown(draws.H))
    for b, trace in enumerate(expected(held, values, lengths, threads=1)):
        assert_trace(trace, reference.run(held, values[b, :lengths[b]]))
    right = reference.run(held, values[1]).signature
    monkeypatch.setattr(Shown, "shown", lambda self, place: rotl(self.last, 3))
    assert (reference.run(held, values[1]).signature != right).any()


def test_two_sided_networks_have_traces():
    art = random_two_sided(1)
    values, lengths = inputs_of(art)
    traces = expected(art, values, lengths, 77, 1)
    for b, L in enumerate(lengths):
        assert_trace(traces[b], reference.run(art, values[b, :L], 77), f"sequence {b}, ")


@pytest.mark.parametrize("name, text", [("y", "what the spikes are made of"),
                                        ("s_out", "the spikes")])
def test_networks_without_the_names_have_no_traces(name, text):
    art = random_artifact(1, kind="glu")
    ops = [replace(op, wiring=op.wiring.replace(name, "other")) for op in art.blocks[1]]
    other = replace(art, blocks=(art.blocks[0], tuple(ops))).check()
    with pytest.raises(ArtifactError, match=f"layer 1: nothing makes {name}, {text}, so the net"
                                            "work has no traces; name it so in the wiring"):
        expected(other, np.zeros((1, 3), int))
