"""Smaller networks of a shape, to say which of them would fit where the whole one does not."""

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np

from quant.integer.artifact import Artifact, Layer

LEAST_NEURONS = 8


def with_neurons(art: Artifact, H: int) -> Artifact:
    """The first H neurons of every layer."""
    def cut(raw: np.ndarray) -> np.ndarray:
        return raw[tuple(slice(H) if size == art.H else slice(None) for size in raw.shape)]
    layers = tuple(replace(layer, **{f.name: cut(getattr(layer, f.name)) for f in fields(Layer)
                                     if f.name != "fmt"}) for layer in art.layers)
    return replace(art, layers=layers, enc_w=art.enc_w[..., :H], enc_b=art.enc_b[:H],
                   dec_w=art.dec_w[:, :H])


def variants(art: Artifact) -> Iterator[tuple[tuple[str, int], Artifact]]:
    """((what, how many), network): fewer layers, then shorter sequences, then fewer neurons."""
    for number in range(len(art.layers) - 1, 0, -1):
        yield ("layers", number), replace(art, layers=art.layers[:number])
    steps = 1 << (art.length - 1).bit_length() >> 1
    while steps >= 16:
        yield ("steps", steps), replace(art, length=steps)
        steps >>= 1
    neurons = art.H // 2
    while neurons >= LEAST_NEURONS:
        yield ("neurons", neurons), with_neurons(art, neurons)
        neurons //= 2


def best(found: list[tuple[str, int]]) -> list[str]:
    """The most of each kind, in words."""
    most: dict[str, int] = {}
    for what, number in found:
        most[what] = max(number, most.get(what, 0))
    words = {"layers": "at most {} layer{}", "steps": "sequences of up to {} step{}",
             "neurons": "layers of {} neuron{}"}
    return [words[what].format(number, "s" * (number > 1)) for what, number in most.items()]
