"""Every component of a core in two shapes and more, side by side in one Verilog module.

One build then serves all component benches. The ports of component ``mixer`` in variant ``wide``
are ``wide_mixer__i__payload`` and so on; each bench drives only its own.
"""

from dataclasses import replace
from functools import cache

import numpy as np
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from quant.integer.artifact import Artifact
from quant.integer.memory import Fire
from quant.formats import RandomFormat
from quant.integer.synthetic import random_artifact
from rtl.parts.config import Geometry, HardwareConfig
from rtl.decoder import Decoder
from rtl.encoder import Encoder
from rtl.layer.fuse import Fuse
from rtl.layer.layer import Layer
from rtl.parts.lfsr import WordSource, start_region
from rtl.layer.mixer import Mixer
from rtl.plan import plan
from rtl.layer.sampler import make_sampler
from rtl.layer.block_update import BlockUpdate
from rtl.layer.state_engine import StateEngine
from rtl.layer.state_update import StateUpdate
from rtl.layer.ternary import Ternary
from rtl.layer.x_buffer import XBuffer
from rtl.spec import LayerSpec
from sim.benches.lane import Together

# wide: words of two neurons. narrow: a word takes two cycles, and samplers tie.
VARIANTS = {
    "wide": (dict(seed=1, H=4, n=2, stress=0.2), 4),
    "narrow": (dict(seed=2, H=3, n=2, stress=0.2, vocab=5, residual="plain",
                    rounding="half_even", random=RandomFormat(k=8, centred=False)), 1),
}

# The samplers and the engine alone in the other sampling forms.
FORMS = {
    "sobol": (dict(seed=3, H=4, n=2, stress=0.1, sampling="sobol", residual="plain",
                   random=RandomFormat(k=8)), 4),
    "systematic": (dict(seed=4, H=3, n=2, stress=0.1, sampling="systematic"), 1),
    "phases": (dict(seed=5, H=4, n=2, sampling="systematic", residual="plain"), 4),
}
# Values enter the states; two mixers and a gate behind them. gsu: a threshold, ternary weights.
GATED = {
    "glu": (dict(kind="glu", seed=6, H=4, n=2, stress=0.2), 4),
    "glu_narrow": (dict(kind="glu", seed=7, H=3, n=2, norm_position="post", residual="none"), 1),
    "gsu": (dict(kind="gsu", seed=8, H=6, n=2, stress=0.2), 4),
    "gsu_narrow": (dict(kind="gsu", seed=9, H=3, n=2, norm_position="post",
                        rounding="half_even"), 1),
}
# Two steps at a time.
BLOCKS = {
    "pair": (dict(seed=10, H=4, n=2, stress=0.2, block=2), 4),
    "pair_narrow": (dict(seed=11, H=3, n=2, residual="plain", rounding="half_even",
                         sampling="systematic", block=2), 1),
    "pair_glu": (dict(kind="glu", seed=12, H=4, n=2, block=2), 4),
    "pair_lif": (dict(kind="lif", seed=13, H=4, n=2, block=2), 2),
}
ALL = VARIANTS | FORMS | GATED | BLOCKS


@cache
def shape(variant: str) -> tuple[Artifact, HardwareConfig, Geometry]:
    """Artifact, configuration and geometry of a variant."""
    options, lanes = ALL[variant]
    art, hw = random_artifact(n_layers=1, length=16, **options), HardwareConfig(lanes)
    if not art.vocab and variant in VARIANTS | FORMS:   # odd samples tie in the encoder's rounding
        half = 1 << art.spiking.edge.enc_w.f_bits + art.sample.f_bits - art.x_format.f_bits - 1
        enc_w = half * np.resize([1, 3, 5, -3], art.H)
        art = replace(art, **replace(art.spiking, enc_w=enc_w).parts()).check()
    return art, hw, plan(art, hw).geo


@cache
def layer_of(variant: str) -> LayerSpec:
    """The first layer of a variant, where the plan of a core has it."""
    art, hw, _ = shape(variant)
    return plan(art, hw).layers[0]


def sampler(layer: LayerSpec) -> wiring.Component:
    """Of the layer's samplers, the one of the wider sum."""
    wires = [wire for wire in layer.cut.front + layer.cut.middle if isinstance(wire.op, Fire)]
    wire = max(wires, key=lambda wire: wire.formats[0].width)
    return make_sampler(wire.op.form, wire.formats[0], layer.random)


def components(variant: str) -> dict[str, wiring.Component]:
    """The components of a variant by name."""
    art, hw, geo = shape(variant)
    layer, planned, found = layer_of(variant), plan(art, hw), {}
    states = layer.cut.states
    if variant in VARIANTS | FORMS:
        found["sampler"] = sampler(layer)
    found["state_engine"] = StateEngine(layer)
    if variant in FORMS:
        return found
    if variant in BLOCKS:
        lane = BlockUpdate(states.op, states.formats[0], art.random)
        return found | {"block_update": Together(lane)}
    found |= {"state_update": StateUpdate(states.op, states.formats[0], art.random),
              "mixer": Mixer(layer), "fuse": Fuse(layer), "layer": Layer(layer)}
    if layer.cut.ternary:
        found["ternary"] = Ternary(layer)
    if variant in GATED:
        return found
    start = start_region("start", art.random, art.seed, 0)
    return found | {
        "lfsr": WordSource(art.random, art.random.k, geo.lanes, start),
        "x_buffer": XBuffer(layer),
        "encoder": Encoder(planned.encoder),
        "decoder": Decoder(planned.decoder),
    }


def having(name: str) -> list[str]:
    """The variants that have a component."""
    return [variant for variant in ALL if name in components(variant)]


class Parts(wiring.Component):
    """All components of all variants, their ports passed through."""

    def __init__(self):
        self.parts = {f"{variant}_{name}": part for variant in ALL
                      for name, part in components(variant).items()}
        super().__init__({name: Out(part.signature) for name, part in self.parts.items()})

    def elaborate(self, platform):
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            wiring.connect(m, part, wiring.flipped(getattr(self, name)))
        return m
