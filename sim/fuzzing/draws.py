"""Random networks, hardware and stimulus for fuzzing: drawn, described in JSON, made from it."""

from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np

from golden.base.forms import amount, has, whole
from quant.integer import lfsr, sampling
from quant.integer.artifact import Artifact
from golden.base.qformat import SQ, UQ, FormatError, QFormat
from quant.formats import ROUNDINGS, STREAMS, EdgeFormats, LayerFormats, RandomFormat
from quant.integer.memory import Fire
from quant.integer.spiking import ACTS, RESIDUALS
from quant.integer.synthetic import LIMITS, random_artifact
from rtl.parts.config import Geometry, HardwareConfig
from rtl.parts.streams import LOGIT_BITS

CYCLES = 20_000         # of one case, about
LANES = 24              # most of a shape, in all layers: what they cost to build
TRIES = 1_000           # draws of a shape until one is allowed
# Generators whose draws are known to be independent enough, and how far apart their streams are;
# 2**width must exceed all streams.
GENERATORS = (RandomFormat(), replace(lfsr.LONG, stream_jump=RandomFormat().stream_jump), lfsr.LONG)
# Formats of samples: bits before and behind the binary point, signed. Sound is (1, 7) or (1, 15).
SAMPLES = ((0, 8, False), (1, 7, True), (1, 15, True), (1, 0, False), (4, 6, True), (4, 8, False))
LONGEST = 16_384        # steps that a network may have been made for
VALUES = ("random", "lowest", "highest", "alternating")
ALLOWED = {"act": [act for act in ACTS if act != "gelu"],
           "residual": [name for name in RESIDUALS if name in ("none", "clampfuse", "plain")],
           "rounding": ROUNDINGS, "sampling": sampling.FORMS}


@dataclass(frozen=True)
class Shape:
    """Everything that decides the Verilog, but for the initial content of memories."""

    lanes: int
    layers: int
    H: int
    n: int
    n_classes: int
    length: int                 # longest sequence
    vocab: int
    act: str
    residual: str
    rounding: str
    sampling: str
    formats: dict               # of LayerFormats
    edge: dict                  # of EdgeFormats
    random: dict                # of RandomFormat
    spread: bool = True         # of HardwareConfig

    @property
    def hw(self) -> HardwareConfig:
        return HardwareConfig(self.lanes, spread=self.spread)

    def artifact(self, seed: int, stress: float = 0.0, limits: str | None = None) -> Artifact:
        """A network of this shape."""
        return random_artifact(
            seed, self.layers, self.H, self.n, self.n_classes, self.length, self.vocab,
            act=self.act, residual=self.residual, rounding=self.rounding, sampling=self.sampling,
            stress=stress, limits=limits, fmt=LayerFormats.from_dict(self.formats),
            random=RandomFormat.from_dict(self.random), edge=EdgeFormats.from_dict(self.edge))

    @cached_property
    def base(self) -> Artifact:
        """The network whose content is in the Verilog."""
        return self.artifact(0)

    def broken_rule(self) -> str | None:
        """The first of the rules below that the shape breaks, or None.

        They are stated here, whatever the components say: a component that refuses a shape which
        keeps them is wrong.
        """
        try:
            fmt, edge = LayerFormats.from_dict(self.formats), EdgeFormats.from_dict(self.edge)
            random = RandomFormat.from_dict(self.random)
        except FormatError as error:
            return str(error)
        stream = fmt.x if self.residual in STREAMS else fmt.p
        samplers = fmt.p_in_bits(self.residual), fmt.p_out_bits
        steps = UQ(self.length.bit_length(), 0)
        logit = (edge.dec_w * stream.total(self.length)).total(self.H) + edge.dec_b * steps
        rules = {
            "lanes divide the modes": self.lanes in Geometry(self.H, self.n, 1).allowed(),
            "options are in ALLOWED": all(getattr(self, name) in ALLOWED[name] for name in ALLOWED),
            "streams fit the generator": not lfsr.misfit(random, self.length, self.layers, self.H,
                                                         self.n),
            "a product has more bits than are rounded at random":
                self.rounding != "stochastic" or fmt.a_bar.f_bits > random.round_bits > 0,
            "a Sobol sequence does not repeat":
                self.sampling != "sobol" or sampling.direction_columns(self.length) <= random.k,
            "a systematic sampler's p has 1 to 32 fraction bits":
                self.sampling != "systematic" or all(1 <= bits <= 32 for bits in samplers),
            "g is no finer than a_bar h": fmt.g.f_bits <= fmt.a_bar.f_bits + fmt.h.f_bits,
            "there is a sample format or a vocabulary": bool(self.vocab) == (edge.sample is None),
            "the encoder's product is as fine as its bias and the stream":
                edge.sample is None or edge.enc_w.f_bits + edge.sample.f_bits >= max(
                    edge.enc_b.f_bits, stream.f_bits),
            "the decoder's bias is as fine as its product":
                edge.dec_b.f_bits == edge.dec_w.f_bits + stream.f_bits,
            f"a logit has {LOGIT_BITS} bits": logit.width <= LOGIT_BITS,
            "the integer network's sums have 64 bits":
                max(f.width for f in (fmt.acc, fmt.y(self.n), fmt.fused(self.H))) <= 63}
        return next((rule for rule, kept in rules.items() if not kept), None)


def with_directions(art: Artifact, base: Artifact) -> Artifact:
    """A network with another one's direction numbers, which are constants of the hardware."""
    return replace(art, blocks=tuple(
        tuple(replace(op, directions=other.directions) if isinstance(op, Fire) else op
              for op, other in zip(*pair)) for pair in zip(art.blocks, base.blocks)))


@dataclass(frozen=True)
class Case:
    """A network of some shape and what it is given."""

    shape: Shape
    seed: int                   # of the coefficients and the values
    stress: float               # share of coefficients at their limits
    limits: str | None          # all of them at one
    values: str                 # one of VALUES
    lengths: list[int]
    master: int                 # seed of the random streams
    stall: float                # probability per cycle, on both streams; 0: cycles are compared
    interrupt: int              # cycles of a first attempt that ends with a reset

    @cached_property
    def artifact(self) -> Artifact:
        art = self.shape.artifact(self.seed, self.stress, self.limits)
        return replace(with_directions(art, self.shape.base), seed=self.master).check()

    def broken_rule(self) -> str | None:
        """The first rule that the case breaks, or its shape; or None."""
        if not self.lengths or max(self.lengths) > self.shape.length:
            return f"there are sequences, of up to {self.shape.length} steps"
        return self.shape.broken_rule()

    @property
    def sequences(self) -> list[np.ndarray]:
        """Raw samples or tokens."""
        rng = np.random.default_rng(self.seed)
        sample = self.artifact.sample
        lo, hi = (0, self.shape.vocab - 1) if sample is None else (sample.lo, sample.hi)
        found = []
        for length in self.lengths:
            random = rng.integers(lo, hi + 1, length)
            ends = np.where(np.arange(length) % 2, hi, lo)
            found.append({"random": random, "lowest": np.full(length, lo),
                          "highest": np.full(length, hi), "alternating": ends}[self.values])
        return found

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Case":
        return cls(**values | {"shape": Shape(**values["shape"])})


_SHAPE = {name: whole(1, 4096) for name in ("lanes", "layers", "H", "n", "n_classes")} | {
    "length": whole(1, LONGEST), "vocab": whole(0, 1 << 16), "spread": bool} | {
    name: options.__contains__ for name, options in ALLOWED.items()} | {
    name: dict for name in ("formats", "edge", "random")}
# Of a case in a file; ``Case.broken_rule`` says the rest.
FORM = {"shape": lambda shape: type(shape) is dict and has({"spread": True} | shape, _SHAPE),
        "seed": whole(), "stress": lambda value: amount(value) and value <= 1,
        "limits": (None, LIMITS.__contains__), "values": VALUES.__contains__,
        "lengths": [whole(1, LONGEST)], "master": whole(1),
        "stall": lambda value: amount(value) and value < 1, "interrupt": whole(0, 1 << 20)}


def cycles_per_step(shape: Shape) -> int:
    """Of a core, about: what bounds the length of a case."""
    geo = Geometry(shape.H, shape.n, shape.lanes)
    return max(geo.issue, geo.words * geo.K, 2 * geo.words, 12)


def draw_shape(seed: int, number: int) -> Shape:
    """Shape ``number`` of the fuzz run ``seed``: every option, small and large, extreme formats."""
    for attempt in range(TRIES):
        shape = _shape(np.random.default_rng([seed, number, attempt]))
        if shape.broken_rule() is None:
            return shape
    raise RuntimeError(f"no allowed shape in {TRIES} draws of seed {seed}, number {number}")


def _shape(rng) -> Shape:
    def pick(*options):
        return options[rng.integers(len(options))]

    def between(low, high):
        return int(rng.integers(low, high + 1))

    layers, n = pick(1, 1, 2, 2, 3, 4, 5, 6), pick(1, 2, 3, 4, 6, 8, 12, 16)
    H = pick(96, *[int(round(4 * 24 ** (rng.random() ** 2)))] * 11)     # small ones more often
    lanes = [p for p in Geometry(H, n, 1).allowed() if p * layers <= LANES]
    random = replace(
        pick(*GENERATORS), k=pick(1, 2, 4, 6, 8, 12, 16, 16), centred=bool(between(0, 1)),
        round_bits=pick(1, 2, 4, 8, 8, 12, 16))
    act, residual, rounding, form = (pick(*ALLOWED[name]) for name in
                                     ("act", "residual", "rounding", "sampling"))
    h, a, p = SQ(between(1, 6), between(2, 16)), SQ(1, between(2, 17)), UQ(1, between(2, 16))
    x, alpha = SQ(between(2, 6), p.f_bits), SQ(between(1, 4), between(1, 14))
    fmt = LayerFormats(
        a_bar=a, h=h, g=SQ(between(1, 4), between(1, min(16, a.f_bits + h.f_bits))),
        drive=SQ(between(1, 6), h.f_bits), w=SQ(between(1, 8), 0), shift=UQ(between(1, 4), 0),
        bias=SQ(between(1, 8), p.f_bits), addend=SQ(between(1, 8), p.f_bits), p=p, x=x,
        alpha=alpha, beta=SQ(between(1, 6), between(1, min(14, alpha.f_bits + x.f_bits))))
    sample = QFormat(*pick(*SAMPLES))
    enc_w, dec_w = SQ(between(1, 4), between(2, 12)), SQ(between(1, 3), between(1, 6))
    stream = fmt.x if residual == "plain" else fmt.p
    tokens = pick(False, False, True)
    edge = EdgeFormats(
        sample=None if tokens else sample, enc_w=enc_w,
        enc_b=SQ(between(1, 4), between(1, min(12, enc_w.f_bits + sample.f_bits))),
        dec_w=dec_w, dec_b=SQ(between(1, 8), dec_w.f_bits + stream.f_bits))
    return Shape(
        lanes=pick(*lanes), layers=layers, H=H, n=n, n_classes=pick(1, 2, 3, 5, 10),
        length=pick(1, 2, 5, 16, 40, 64, 64, LONGEST), act=act, residual=residual,
        vocab=pick(1, 2, 5, 17, 257) if tokens else 0, rounding=rounding, sampling=form,
        formats=fmt.to_dict(),
        edge=edge.to_dict(), random=random.to_dict(), spread=pick(True, True, False))


def draw_case(shape: Shape, seed: int, number: int, place: int) -> Case:
    """Case ``place`` of shape ``number`` in the fuzz run ``seed``."""
    rng = np.random.default_rng([seed, number, place, 1])

    def pick(*options):
        return options[rng.integers(len(options))]

    budget = max(4, CYCLES // (cycles_per_step(shape) * pick(1, 1, 4, 16)))
    lengths = []
    for _ in range(pick(1, 2, 3, 5, 20)):
        length = min(pick(1, shape.length, int(rng.integers(1, shape.length + 1))), budget)
        if length < 1:
            break
        lengths.append(length)
        budget -= length
    return Case(
        shape, seed=int(rng.integers(1, 1 << 30)), stress=pick(0.0, 0.0, 0.02, 0.2, 1.0),
        limits=pick(*[None] * 9, *LIMITS), values=pick(*["random"] * 5, *VALUES),
        lengths=lengths, master=int(rng.integers(1, 1 << 31)),
        stall=pick(0.0, 0.0, 0.1, 0.5, 0.9), interrupt=pick(0, 0, 0, int(rng.integers(1, 400))))
