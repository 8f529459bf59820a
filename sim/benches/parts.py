"""Every component of a core in two shapes, side by side in one Verilog module.

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
from quant.formats import RandomFormat
from quant.integer.synthetic import random_artifact
from rtl.parts.config import Geometry, HardwareConfig
from rtl.decoder import Decoder
from rtl.encoder import Encoder
from rtl.layer.layer import Layer
from rtl.parts.lfsr import WordSource, start_region
from rtl.layer.mixer import Mixer
from rtl.plan import plan
from rtl.layer.sampler import AffineSampler, make_sampler
from rtl.layer.state_engine import StateEngine
from rtl.layer.state_update import StateUpdate
from rtl.layer.x_buffer import XBuffer

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


@cache
def shape(variant: str) -> tuple[Artifact, HardwareConfig, Geometry]:
    """Artifact, configuration and geometry of a variant."""
    options, lanes = (VARIANTS | FORMS)[variant]
    art, hw = random_artifact(n_layers=1, length=16, **options), HardwareConfig(lanes)
    if not art.vocab:       # odd samples tie in the encoder's rounding
        half = 1 << art.spiking.edge.enc_w.f_bits + art.sample.f_bits - art.x_format.f_bits - 1
        enc_w = half * np.resize([1, 3, 5, -3], art.H)
        art = replace(art, **replace(art.spiking, enc_w=enc_w).parts()).check()
    return art, hw, plan(art, hw).geo


def components(variant: str) -> dict[str, wiring.Component]:
    """The components of a variant by name, each where the plan of a core has it."""
    art, hw, geo = shape(variant)
    net, fmt, planned = art.spiking, art.spiking.layers[0].fmt, plan(art, hw)
    layer, start = planned.layers[0], start_region("start", art.random, art.seed, 0)
    engine = {
        "sampler": (AffineSampler(fmt, art.random, net.sampling) if net.residual == "plain" else
                    make_sampler(net.sampling, fmt.y(art.n), art.random)),
        "state_engine": StateEngine(layer),
    }
    if variant in FORMS:
        return engine
    return engine | {
        "state_update": StateUpdate(fmt, art.random, net.rounding),
        "lfsr": WordSource(art.random, art.random.k, geo.lanes, start),
        "mixer": Mixer(layer),
        "x_buffer": XBuffer(layer),
        "encoder": Encoder(planned.encoder),
        "decoder": Decoder(planned.decoder),
        "layer": Layer(layer),
    }


class Parts(wiring.Component):
    """All components of all variants, their ports passed through."""

    def __init__(self):
        self.parts = {f"{variant}_{name}": part for variant in VARIANTS | FORMS
                      for name, part in components(variant).items()}
        super().__init__({name: Out(part.signature) for name, part in self.parts.items()})

    def elaborate(self, platform):
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            wiring.connect(m, part, wiring.flipped(getattr(self, name)))
        return m
