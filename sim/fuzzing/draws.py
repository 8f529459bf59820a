"""Draws of shapes and cases: every option, small and large, extreme formats."""

from dataclasses import replace

from golden.base.qformat import SQ, QFormat
from quant.formats import EdgeFormats, RandomFormat
from quant.integer import lfsr
from quant.integer.synthetic import LIMITS
from rtl.parts.config import MIXERS, allowed
from rtl.parts.single_port import BLOCKS
from sim.fuzzing import hardware
from sim.fuzzing.case import VALUES, Case
from sim.fuzzing.dice import Dice
from sim.fuzzing.kinds import KINDS
from sim.fuzzing.shape import LONGEST, Shape

CYCLES = 20_000         # of one case, about
LANES = 24              # most of a shape, in all layers: what they cost to build
MOST_TABLES = 40        # neurons of a mixer with tables: every weight takes its time to be written
TRIES = 1_000           # draws of a shape until one is allowed
# Generators whose draws are known to be independent enough, and how far apart their streams are;
# 2**width must exceed all streams.
GENERATORS = (RandomFormat(), replace(lfsr.LONG, stream_jump=RandomFormat().stream_jump), lfsr.LONG)
# Formats of samples: bits before and behind the binary point, signed. Sound is (1, 7) or (1, 15).
SAMPLES = ((0, 8, False), (1, 7, True), (1, 15, True), (1, 0, False), (4, 6, True), (4, 8, False))


def cycles_per_step(shape: Shape) -> int:
    """Of a core, about: what bounds the length of a case."""
    geo = hardware.geometry(shape)
    return (1 + shape.two_sided) * geo.layers * max(
        geo.issue, geo.words * geo.K, 2 * geo.words, 12) // geo.P


def draw_shape(seed: int, number: int, kind: str) -> Shape:
    """Shape ``number`` of the fuzz run ``seed``, of a kind."""
    for attempt in range(TRIES):
        shape = any_shape(Dice(seed, number, attempt), kind)
        if shape.broken_rule() is None:
            return shape
    raise RuntimeError(f"no allowed shape of kind {kind} in {TRIES} draws of seed {seed}, number "
                       f"{number}")


def any_shape(dice: Dice, kind: str) -> Shape:
    """One that may break a rule."""
    of = KINDS[kind]
    layers, n = dice.pick(1, 1, 2, 2, 3, 4, 5, 6), dice.pick(*of.modes)
    # small ones more often
    H = dice.pick(96, *[int(round(4 * 24 ** (dice.rng.random() ** 2)))] * 11)
    lanes = dice.pick(*(p for p in allowed(H, n) if p * layers <= LANES))
    random = replace(
        dice.pick(*GENERATORS), k=dice.pick(1, 2, 4, 6, 8, 12, 16, 16),
        centred=dice.pick(True, False), round_bits=dice.pick(1, 2, 4, 8, 8, 12, 16))
    options = {name: dice.pick(*values) for name, values in of.options.items()}
    fmt, tokens = of.draw(dice, options), dice.pick(False, False, True)
    shape = Shape(
        lanes=lanes, layers=layers, H=H, n=n, n_classes=dice.pick(1, 2, 3, 5, 10),
        length=dice.pick(1, 2, 5, 16, 40, 64, 64, LONGEST), kind=kind, options=options,
        vocab=dice.pick(1, 2, 5, 17, 257) if tokens else 0, formats=fmt.to_dict(),
        edge={}, random=random.to_dict(), spread=dice.pick(True, True, False),
        block=dice.pick(1, 2), folded=dice.pick(False, False, True),
        single_ports=dice.pick(0, 0, 0, BLOCKS))
    shape = replace(shape, edge=_edge(dice, tokens, of.x(shape, fmt)).to_dict(),
                    mixer=_mixer(dice, shape, fmt.w))
    if not n or dice.pick(False, False, False, True) is False:
        return shape
    return replace(shape, two_sided=True, block=1, length=min(shape.length, hardware.LONGEST_BOTH),
                   mixer=shape.mixer if layers == 1 else "columns")


def _mixer(dice: Dice, shape: Shape, w: QFormat) -> str:
    """One that the rest allows, so that tables make no other choice rare."""
    found = [name for name in MIXERS if name == "columns" or shape.H <= MOST_TABLES and all(
        hardware.rules(replace(shape, mixer=name), w).values())]
    return dice.pick(*found, *[name for name in found if name == "tables"] * 3)  # few allow them


def _edge(dice: Dice, tokens: bool, x: QFormat) -> EdgeFormats:
    sample, enc_w, dec_w = (QFormat(*dice.pick(*SAMPLES)), dice.sq(4, 2, 12), dice.sq(3, 1, 6))
    return EdgeFormats(
        sample=None if tokens else sample, enc_w=enc_w,
        enc_b=dice.sq(4, 1, min(12, enc_w.f_bits + sample.f_bits)),
        dec_w=dec_w, dec_b=SQ(dice.between(1, 8), dec_w.f_bits + x.f_bits))


def draw_case(shape: Shape, seed: int, number: int, place: int) -> Case:
    """Case ``place`` of shape ``number`` in the fuzz run ``seed``."""
    dice = Dice(seed, number, place, 1)
    budget = max(4, CYCLES // (cycles_per_step(shape) * dice.pick(1, 1, 4, 16)))
    lengths = []
    for _ in range(dice.pick(1, 2, 3, 5, 20)):
        length = min(dice.pick(1, shape.length, dice.between(1, shape.length)), budget)
        if length < 1:
            break
        lengths.append(length)
        budget -= length
    return Case(
        shape, seed=dice.between(1, 1 << 30), stress=dice.pick(0.0, 0.0, 0.02, 0.2, 1.0),
        limits=dice.pick(*[None] * 9, *LIMITS), values=dice.pick(*["random"] * 5, *VALUES),
        lengths=lengths, master=dice.between(1, (1 << 31) - 1),
        stall=dice.pick(0.0, 0.0, 0.1, 0.5, 0.9),
        interrupt=dice.pick(0, 0, 0, dice.between(1, 399)))
