"""Random artifacts: networks of any shape and kind, with no training, for tests and fuzzing."""

from functools import partial

from quant.integer.program import Artifact
from quant.integer.synthetic_draw import LIMITS, TASK
from quant.integer.synthetic_lif import Integrators
from quant.integer.synthetic_samplers import Samplers
from quant.integer.synthetic_stream import Streams

__all__ = ["KINDS", "LIMITS", "TASK", "random_artifact"]

KINDS = {"paper": Samplers, "glu": partial(Streams, mixer="glu"),
         "gsu": partial(Streams, mixer="gsu"), "lif": Integrators}


def random_artifact(*shape, kind: str = "paper", **options) -> Artifact:
    """A network of a kind of KINDS and its options, which spikes at moderate rates if ``stress``
    is 0: ``paper`` are P-SpikeSSM's, ``glu`` Binary S4D, ``gsu`` the gated spiking unit, ``lif``
    integrate-and-fire neurons, with n = 0 alone.

    shape : seed, n_layers, H, n, n_classes, length, vocab; the rest has names, see the kinds.
    """
    return KINDS[kind](*shape, **options).artifact()
