"""Smaller networks of a shape, to say which of them would fit where the whole one does not."""

from collections.abc import Iterator
from dataclasses import replace

from quant.integer.artifact import Artifact
from quant.integer.operation import Operation, Tensor

LEAST_NEURONS = 8


def with_neurons(art: Artifact, H: int) -> Artifact:
    """The first H neurons of every layer."""
    def cut(op: Operation) -> Operation:
        return op.on_tensors(lambda name, t: Tensor(t.raw[tuple(
            slice(H if axis == "H" else None) for axis in op.SHAPES.get(name, ("H",)))], t.fmt))
    return replace(art, first=tuple(map(cut, art.first)),
                   blocks=tuple(tuple(map(cut, ops)) for ops in art.blocks),
                   decoder_w=Tensor(art.decoder_w.raw[:, :H], art.decoder_w.fmt))


def variants(art: Artifact) -> Iterator[tuple[tuple[str, int], Artifact]]:
    """((what, how many), network): fewer layers, then shorter sequences, then fewer neurons."""
    for number in range(len(art.blocks) - 1, 0, -1):
        yield ("layers", number), replace(art, blocks=art.blocks[:number])
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
