"""What becomes of an artifact in hardware, before anything is built.

:func:`plan` refuses what the RTL lacks, decides which components there are and what they are made
from, lays their memories out on the configuration bus with every row, and knows their timing.
Nothing of it needs a component: :class:`rtl.core.Core` is built from it, cycles, hosts and
simulations read it.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from quant.integer import ops
from quant.integer.artifact import Artifact
from quant.integer.future import Future
from quant.integer.memory import States
from rtl import decoder, encoder, products
from rtl.cut import cut, two_sided
from rtl.folded import passes, sides
from rtl.folded.stack import stacked
from rtl.layer import layer, mixers
from rtl.layer.cells import CELLS
from rtl.parts.config import Geometry, HardwareConfig, HardwareError, lanes_for
from rtl.decoder import DecoderTiming
from rtl.layer.layer import LayerTiming
from rtl.link.protocol import LONGEST_SEQUENCE, OWN_WORDS
from rtl.parts import single_port
from rtl.parts.memory import Region, place
from rtl.spec import EndSpec, LayerSpec, Timing
from rtl.parts.streams import ADDRESS_BITS, LOGIT_BITS

IN_FLIGHT = 16      # sequences inside a core, at most
BOTH_IN_FLIGHT = 2  # of a two-sided network: one goes through the layers, one comes in
COUNT_BITS = 32     # of a count of saturations, at most
# Components that compute an operation beside its cell (rtl.layer.cells.CELLS).
PARTS: dict[type, tuple[str, ...]] = {
    States: ("rtl.layer.state_engine",),
    Future: ("rtl.folded.passes", "rtl.layer.state_engine"),
    ops.Mix: ("rtl.layer.mixer", "rtl.layer.table_mixer"),
    ops.Ternary: ("rtl.layer.ternary",), **dict.fromkeys(
        (ops.Embed, ops.Scale, ops.Round, ops.Limit, ops.Clamp), ("rtl.encoder",))}


def components(kind: type) -> tuple[str, ...]:
    """Modules of what computes an operation of this kind; none: the RTL has not got it."""
    cell = CELLS.get(kind)
    return PARTS.get(kind, ()) + ((cell.__module__,) if cell else ())


@dataclass(frozen=True)
class CoreTiming:
    """Timing of a core's parts."""

    encoder: Timing
    layers: tuple[LayerTiming, ...]
    decoder: DecoderTiming


@dataclass(frozen=True)
class Plan:
    """A core: its parts, its memory map and its timing. Made by :func:`plan`."""

    art: Artifact
    hw: HardwareConfig
    geo: Geometry
    encoder: EndSpec
    layers: tuple[LayerSpec, ...]   # one, where all share the hardware
    decoder: EndSpec
    regions: tuple[Region, ...]     # all of the map, in rising order of their addresses
    count_bits: int                 # of a sequence's saturations, in the queues of a core
    max_in_flight: int              # sequences inside, so that their counts fit the queues

    @cached_property
    def timing(self) -> CoreTiming:
        """Latency and interval of every part."""
        return CoreTiming(encoder.timing(self.encoder),
                          tuple(kind_of(spec).timing(spec) for spec in self.layers),
                          decoder.timing(self.decoder))

    @property
    def parts(self) -> tuple[EndSpec, tuple[LayerSpec, ...], EndSpec]:
        """Encoder, layers and decoder."""
        return self.encoder, self.layers, self.decoder

    @property
    def built_in(self) -> bool:
        """Whether a core has its network from the start; else it is written first."""
        return not any(region.single_port for region in self.regions)

    @property
    def roofline(self) -> int | float:
        """Least cycles of a step, of all layers that follow each other on the same hardware."""
        return self.layers[0].geo.roofline * (1 + bool(self.layers[0].cut.future))

    @property
    def longest(self) -> int:
        """Steps of a sequence, at most."""
        return self.layers[0].longest

    @property
    def addresses(self) -> int:
        """Addresses of the configuration bus that the map takes, from 0 on."""
        return self.regions[-1].base + self.regions[-1].size

    @property
    def spacing(self) -> int:
        """Most cycles from one write on the configuration bus to the next, whichever it is."""
        return max(mixers.spacing(spec) for spec in self.layers)

    def apart(self, addr: int) -> int:
        """Least cycles from a write of an address to the next one: more where tables are made."""
        return max([1, *(mixers.spacing(spec) for spec in self.layers
                         if any(addr in spec.regions[name] for name in mixers.built(spec)))])

    def writes(self) -> list[tuple[int, int]]:
        """(address, 32-bit word) pairs that give any core with the same map this network."""
        return [pair for region in self.regions for pair in region.writes()]

    def seed_writes(self, seed: int) -> list[tuple[int, int]]:
        """(address, word) pairs that start every random stream from another master seed."""
        found = plan(replace(self.art, seed=seed), self.hw)
        return [pair for spec in found.layers for name, region in spec.regions.items()
                if name.startswith("start_") for pair in region.writes()]


def plan(art: Artifact, hw: HardwareConfig = HardwareConfig()) -> Plan:
    """The core of an artifact.

    Raises :class:`rtl.parts.config.HardwareError`, naming layer or end, rule and value, for
    what the RTL lacks.
    """
    both = two_sided(art)
    if both:
        hw = replace(hw, folded=True)
    check_longest(art, hw, both)
    specs = [layer_of(art, number, hw) for number in range(len(art.blocks))]
    if both or hw.folded and len(specs) > 1:
        specs = [folded(specs)]
    first, last = end_beside(specs[0]), end_beside(specs[-1])
    encoder.check(first)
    check_decoder(last)
    if hw.multipliers:
        first, specs, last = products.divided(first, specs, last, hw.multipliers)
    parts = [(first, "", encoder.regions(first)),
             *((spec, "layers." if spec.cuts else f"layer{spec.number}.",
                kind_of(spec).regions(spec))
               for spec in specs),
             (last, "", decoder.regions(last))]
    regions = [replace(region, name=prefix + region.name)
               for _, prefix, found in parts for region in found]
    single = single_port.chosen(regions, hw.single_ports)
    regions = place([replace(region, single_port=region.name in single) for region in regions])
    rest, placed = iter(regions), []
    for spec, _, found in parts:
        placed.append(replace(spec, regions={local.name: next(rest) for local in found}))
    made = Plan(art, hw, first.geo, placed[0], tuple(placed[1:-1]), placed[-1], tuple(regions),
                specs[0].count_bits, BOTH_IN_FLIGHT if both else IN_FLIGHT)
    if made.addresses > 1 << ADDRESS_BITS:
        raise HardwareError(f"the coefficients take {made.addresses} addresses, the configuration "
                            f"bus has {1 << ADDRESS_BITS}; use fewer layers or neurons")
    return made


def layer_of(art: Artifact, number: int, hw: HardwareConfig) -> LayerSpec:
    """What computes layer ``number``, without its place in the map."""
    spec = LayerSpec(art, number, Geometry.of(art, hw.lanes), hw, cut(art, number),
                     count_bits(art))
    return replace(spec, tables=mixers.tables(spec))


def folded(specs: list[LayerSpec]) -> LayerSpec:
    """The one layer that computes them all, one after the other."""
    cuts = [spec.cut for spec in specs]
    for spec in specs:
        if not spec.cut.future and two_sided(spec.art):
            raise HardwareError(f"layer {spec.number}: it has no kernel of the future, other "
                                f"layers have; layers share the hardware only with the same "
                                f"operations")
        if spec.cut.future:
            sides.check(spec)
    return replace(specs[0], geo=replace(specs[0].geo, layers=len(specs)), cuts=tuple(cuts),
                   cut=stacked(cuts) if len(cuts) > 1 else cuts[0])


def kind_of(spec: LayerSpec):
    """The module that knows a layer's regions and timing."""
    return passes if spec.cut.future else layer


def check_longest(art: Artifact, hw: HardwareConfig, both: bool) -> None:
    """Refuse a length that a core cannot be built for."""
    if hw.longest and not both:
        raise HardwareError("longest is of networks with two-sided kernels, which keep whole "
                            "sequences; this one has none: leave out --longest")
    if not 0 <= hw.longest <= art.length:
        raise HardwareError(f"longest must be 1..{art.length}, the network's own length, not "
                            f"{hw.longest}")


def count_bits(art: Artifact) -> int:
    """Of a count that can be no larger than both parts of all states, in all steps."""
    return min(COUNT_BITS, (2 * art.H * max(1, art.n) * art.length).bit_length())


def end_beside(spec: LayerSpec) -> EndSpec:
    """Encoder or decoder beside a layer, without its place in the map."""
    return EndSpec(spec.art, replace(spec.geo, layers=1), spec.hw, spec.x_format, spec.saturates)


def check_decoder(spec: EndSpec) -> None:
    """Its logits must fit the result."""
    logit = decoder.logit_format(spec)
    if logit.width > LOGIT_BITS:
        raise HardwareError(f"decoder: logits need {logit.width} bits, but there are {LOGIT_BITS}; "
                            f"shorten the sequences (length {spec.art.length}) or narrow dec_w "
                            f"{spec.art.decoder_w.fmt}")


def chosen_lanes(art: Artifact, given: int | None) -> int:
    """``given``, else as :func:`rtl.parts.config.lanes_for` says, if there is hardware at all."""
    plan(art, HardwareConfig(1))
    return lanes_for(given, art.H, art.n)


def check_link(made: Plan) -> None:
    """Raise :class:`HardwareError` for a core that a board's link cannot serve or name."""
    art, geo = made.art, made.geo
    if made.addresses > OWN_WORDS:
        raise HardwareError(f"the coefficients take {made.addresses} addresses, but the link "
                            f"reaches {OWN_WORDS}; use fewer layers or neurons")
    if art.length > LONGEST_SEQUENCE:
        raise HardwareError(f"the link takes sequences of up to {LONGEST_SEQUENCE} steps, the "
                            f"artifact has {art.length}; export one for shorter sequences, or use "
                            f"the core itself (python -m rtl.axi)")
    for name, value, most in (("layers", len(art.blocks), 255), ("neurons", geo.H, 65535),
                              ("modes", geo.n, 65535), ("lanes", geo.lanes, 65535),
                              ("outputs", art.outputs, 65535), ("tokens", art.vocab, 65535)):
        if value > most:
            raise HardwareError(f"a board's identity has room for {most} {name}, the network has "
                                f"{value}; use the core itself (python -m rtl.axi)")
