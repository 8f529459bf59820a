"""Sabotage: each mutant of the RTL must be seen by the comparison, and the first difference named.

A small artifact that saturates states, ties thresholds and roundings, and fires everywhere; the
core in Amaranth's simulator; the comparison of every rung. Text mutants replace a piece of an RTL
function's source, which must occur in it exactly once.
"""

import inspect
import textwrap
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import rtl.encoder
import rtl.layer.cells
import rtl.layer.columns
import rtl.layer.drives
import rtl.layer.fire
import rtl.layer.flow
import rtl.layer.fuse
import rtl.parts.lfsr
import rtl.layer.membrane
import rtl.layer.mixer
import rtl.layer.phase_sampler
import rtl.parts.pipeline
import rtl.layer.sampler
import rtl.layer.sampler_words
import rtl.layer.state_engine
import rtl.layer.state_update
import rtl.layer.table
import rtl.layer.tables
import rtl.layer.ternary
import rtl.layer.x_buffer
from golden.base.qformat import SQ
from quant.formats import LayerFormats, RandomFormat
from quant.integer.reference import run
from quant.integer.sampling import FORMS
from quant.integer.synthetic import random_artifact
from rtl.parts import arith
from rtl.parts.config import HardwareConfig
from rtl.core import Core
from sim import pysim
from sim.compare import Tally

HW = HardwareConfig(lanes=4)            # words of two neurons, two words a step
LENGTHS = (16, 1, 9)
# One element of each tensor and its layer; what follows layer 0 is seen in layer 1's input.
PLACE = {"a_re": (1, (0, 0)), "g_re": (1, (0, 0)), "w": (0, (0, 0)), "bias": (0, (0,))}


def changed(art, **parts):
    """The artifact with other parts of its recognised form."""
    return replace(art, **replace(art.spiking, **parts).parts()).check()


@cache
def artifact(form: str = "bernoulli"):
    art = random_artifact(seed=25, n_layers=2, H=4, n=2, length=16, stress=0.1, sampling=form,
                          fmt=LayerFormats(h=SQ(2, 12)),
                          random=RandomFormat(k=4, centred=False, round_bits=4))
    layers = tuple(replace(layer, b=np.maximum(layer.b, 1000), addend=np.maximum(
        layer.addend, -500)) for layer in art.spiking.layers)
    # Odd multiples of half a unit in the last place: the encoder's rounding ties on odd samples.
    # Neuron 2 always has probability 1/2, which ties with one in 16 of the random words.
    return changed(art, layers=layers, enc_w=np.array([128, 3 * 128, 0, 2176]),
                   enc_b=np.array([0, 9, 2048, 900]))


@cache
def stimulus():
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, length) for length in LENGTHS]


@cache
def expected(form: str = "bernoulli"):
    return [run(artifact(form), values) for values in stimulus()]


def compare(art) -> Tally:
    """The core made from ``art`` against the reference of the right artifact."""
    core = Core(art, HW)
    seen = pysim.run(core, stimulus(), limit=1000, stall=0.3)
    tally = Tally(core.geo.words)
    for number, trace in enumerate(expected(art.spiking.sampling)):
        tally.add(number, trace, seen.rows(number), seen.result(number))
    tally.surplus(len(LENGTHS) - 1, *seen.surplus())
    return tally


def caught(tally: Tally):
    assert not tally.equal, "the comparison saw nothing"
    print(f"{tally.mismatches} differences, first: {tally.first}")
    return tally.first


@pytest.mark.parametrize("form", FORMS)
def test_unmutated_core_passes_and_the_artifact_is_under_stress(form):
    tally = compare(artifact(form))
    assert tally.equal, tally.first
    assert tally.spikes == 2 * 2 * sum(LENGTHS) * 4 and tally.signatures == 2 * sum(LENGTHS)
    assert all(sum(trace.saturations[layer] for trace in expected(form)) for layer in range(2))
    fired = np.concatenate([np.stack([t.s_in, t.s_out]) for t in expected(form)], axis=2)
    steps = 2 if form == "bernoulli" else (2, 3)        # the others rarely spare every neuron
    assert fired.any(steps).all() and not fired.all(steps).any(), "a sampler always or never fires"


@pytest.mark.parametrize("end", ["lowest", "highest"])
@pytest.mark.parametrize("tensor", PLACE)
def test_one_bit_of_a_coefficient(tensor, end):
    art, (number, place) = artifact(), PLACE[tensor]
    layer = art.spiking.layers[number]
    width = getattr(layer.fmt, layer.FORMAT_OF[tensor]).width
    raw = getattr(layer, tensor).copy()
    flipped = int(raw[place]) & (1 << width) - 1 ^ (1 if end == "lowest" else 1 << width - 1)
    raw[place] = flipped - (flipped >> width - 1 << width)
    layers = list(art.spiking.layers)
    layers[number] = replace(layer, **{tensor: raw})
    first = caught(compare(changed(art, layers=tuple(layers))))
    assert first.layer == 1 and first.kind in ("s_in", "signature")


def test_seed():
    first = caught(compare(replace(artifact(), seed=artifact().seed ^ 1)))
    assert (first.sequence, first.step, first.layer) == (0, 0, 0)


# name: owner, function, text, mutated text, and the kind of the first difference
TEXT_MUTANTS = {
    "stochastic rounding floors": (
        arith, "round_stochastic", "Cat(Const(1, 1), r)", "Cat(Const(0, 1), r & 0)", "signature"),
    "rounding word one bit off": (
        rtl.layer.state_update.StateUpdate, "elaborate", "low = bits * (part == \"im\")", "low = 0",
        "signature"),
    "half up for half to even": (
        arith, "round_half_even", "(half & (rest.any() | odd))", "half", "signature"),
    "saturation wraps": (
        arith, "saturate", "Mux(over, Mux(negative, dst.lo, dst.hi), kept)", "kept", "signature"),
    "upper limit off by one": (
        arith, "saturate", "Mux(negative, dst.lo, dst.hi)", "Mux(negative, dst.lo, dst.hi - 1)",
        "signature"),
    "a tie fires": (
        arith, "fires", "(p << f - f_bits) > (u << f - u_bits)",
        "(p << f - f_bits) >= (u << f - u_bits)", "s_in"),
    "draw order within a word": (
        rtl.parts.lfsr.WordSource, "elaborate", "lfsr.leap(self.fmt, j * self.bits)",
        "lfsr.leap(self.fmt, (self.count - 1 - j) * self.bits)", None),
    "draws of a step too few": (
        rtl.parts.lfsr.WordSource, "elaborate", "self.count * self.bits", "self.bits", None),
    "last one step late": (
        rtl.encoder.Encoder, "elaborate", "after_last.eq(self.i.payload.last)",
        "after_last.eq(sample.last)", None),
    "last one step early": (
        rtl.encoder.Encoder, "elaborate", "tags[0].last.eq(sample.last)",
        "tags[0].last.eq(self.i.payload.last)", None),
    "stalled word dropped by the buffer": (
        rtl.layer.x_buffer.XBuffer, "elaborate", "fetch = ~side.valid | side.ready",
        "fetch = ~side.valid | 1", None),
    "stalled word dropped by the encoder": (
        rtl.parts.pipeline, "buffer_output", "en.eq(~spare_valid)", "en.eq(1)", None),
    "streams go on into the next sequence": (
        rtl.parts.lfsr.WordSource, "elaborate", "self.rewind | ~self.advance", "~self.advance",
        None),
}


def mutate(monkeypatch, owner, name: str, text: str, mutated: str) -> None:
    """Replace ``text`` in the source of function ``name`` of a module or class."""
    function = getattr(owner, name)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(text) == 1, f"{name} has {text!r} {source.count(text)} times"
    scope = {}
    exec(compile(source.replace(text, mutated), f"<mutant of {name}>", "exec"),
         function.__globals__, scope)
    users = [owner] if inspect.isclass(owner) else [
        owner, rtl.layer.state_update, rtl.layer.sampler, rtl.layer.sampler_words, rtl.encoder,
        rtl.layer.fuse, rtl.layer.cells, rtl.layer.flow, rtl.layer.membrane, rtl.layer.table,
        rtl.layer.tables, rtl.layer.mixer]
    for user in users:
        if getattr(user, name, None) is function:
            monkeypatch.setattr(user, name, scope[name])


@pytest.mark.parametrize("mutant", TEXT_MUTANTS)
def test_text_mutant(mutant, monkeypatch):
    *place, kind = TEXT_MUTANTS[mutant]
    mutate(monkeypatch, *place)
    first = caught(compare(artifact()))
    assert kind in (None, first.kind)


PHASE, WORDS = rtl.layer.phase_sampler.PhaseSampler, rtl.layer.sampler_words.SamplerWords
# name: form, owner, function, text, mutated text
FORM_MUTANTS = {
    "negative sums fire": (
        "systematic", PHASE, "elaborate", "high.any() & ~below", "high.any()"),
    "p of 1 and more moves the phase": (
        "systematic", PHASE, "elaborate", "below | above", "below"),
    "phases of the last sequence": (
        "systematic", WORDS, "_phases", "Mux(first, starts, phases.r_data)", "phases.r_data"),
    "start phase in the low bits": (
        "systematic", rtl.layer.phase_sampler, "start_phase",
        "Cat(Const(random.centred << finer >> 1, finer), r)", "Cat(r, Const(0, finer))"),
    "phases back to the first word": (
        "systematic", rtl.layer.fire.Fire, "build", "words.back.word.eq(done.word)",
        "words.back.word.eq(0)"),
    "points of the last sequence": (
        "sobol", WORDS, "_points", "Mux(self.last, 0, following)", "following"),
    "steps of the last sequence": (
        "sobol", WORDS, "_points", "Mux(self.last, 0, t + 1)", "t + 1"),
    "leading for trailing zeros": (
        "sobol", WORDS, "_points", "in reversed(range(own, columns))", "in range(own, columns)"),
    "new masks in every step": (
        "sobol", WORDS, "elaborate", "m.d.comb += source.rewind.eq(end)",
        "m.d.comb += source.rewind.eq(end & self.last)"),
    "neurons without their point": (
        "sobol", WORDS, "elaborate", "mask ^ point for point in points for mask in source.words",
        "mask ^ point * g for point in points for g, mask in enumerate(source.words)"),
}


@pytest.mark.parametrize("mutant", FORM_MUTANTS)
def test_mutant_of_a_sampling_form(mutant, monkeypatch):
    form, *place = FORM_MUTANTS[mutant]
    mutate(monkeypatch, *place)
    caught(compare(artifact(form)))
