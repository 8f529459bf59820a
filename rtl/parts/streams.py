"""Payloads of the streams between components, and the configuration bus."""

from amaranth import Array, Const, Shape, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import Out, Signature

from quant.integer.artifact import Artifact
from golden.base.qformat import QFormat
from rtl.parts.config import Geometry


def shape_of(fmt: QFormat) -> Shape:
    """Amaranth shape that stores a raw integer of format ``fmt``."""
    return Shape(fmt.width, signed=fmt.signed)


def marks(geo: Geometry) -> dict:
    """What every word says of its place in the sequence.

    ``first`` and ``last``: it is of the first or the last block of steps; only where a block has
    two steps ``half``: the second one is missing, behind the end of a sequence of odd length.
    ``layer``, only where several share the hardware: which one it is of.
    """
    return {"first": 1, "last": 1} | ({"half": 1} if geo.P > 1 else {}) | layer_mark(geo)


def layer_mark(geo: Geometry) -> dict:
    """Which layer something is of, where several share the hardware."""
    return {"layer": range(geo.layers)} if geo.layers > 1 else {}


def existing(flags: list, word, geo: Geometry) -> list:
    """A flag of each of a word's values; 0 in a step that the word with its marks lacks."""
    return [flag if j < geo.G else flag & ~word.half for j, flag in enumerate(flags)]


def x_word(fmt: QFormat, geo: Geometry) -> data.StructLayout:
    """G neurons' block inputs in P steps, in the format of x between blocks, and the marks."""
    return data.StructLayout({"x": data.ArrayLayout(shape_of(fmt), geo.values)} | marks(geo))


def copied(to, source, geo: Geometry) -> list:
    """Assignments of a word's :func:`marks`."""
    return [to[name].eq(source[name]) for name in marks(geo)]


def row_of(geo: Geometry, word, rows: int, row):
    """Row ``row`` of the ``rows`` that the layer of a word has in a memory."""
    if geo.layers == 1:
        return row
    return row + Array(Const(layer * rows, range(geo.layers * rows))
                       for layer in range(geo.layers))[word.layer]


def each_layer(geo: Geometry, word, signals: list):
    """The one of several signals, one of each layer, that is of a word's layer."""
    return signals[0] if geo.layers == 1 else Array(signals)[word.layer]


def sample_word(art: Artifact) -> data.StructLayout:
    """One sample or token; ``last`` marks the sequence's last step."""
    shape = (unsigned(max(1, (art.vocab - 1).bit_length())) if art.vocab
             else shape_of(art.sample))
    return data.StructLayout({"value": shape, "last": 1})


def samples_word(art: Artifact, geo: Geometry) -> data.StructLayout:
    """The samples of a block of steps: one sample, or two, the second of which ``half`` lacks."""
    one = sample_word(art)
    if geo.P == 1:
        return one
    return data.StructLayout({"value": data.ArrayLayout(one["value"].shape, geo.P), "last": 1,
                              "half": 1})


LOGIT_BITS = 48
ADDRESS_BITS = 24       # of the configuration bus


def result_word(art: Artifact, apart: bool = False) -> data.StructLayout:
    """One sequence's answer: class, logits, and saturations (per layer, then the stream's).

    apart : without the logits, ``HardwareConfig.logits_apart``.
    """
    logits = {} if apart else {"logits": data.ArrayLayout(signed(LOGIT_BITS), art.outputs)}
    return data.StructLayout({"label": unsigned(max(1, (art.outputs - 1).bit_length()))} | logits
                             | {"saturations": data.ArrayLayout(32, len(art.blocks) + 1)})


def logit_ports(apart: bool) -> dict:
    """``logit``, ``logit_valid``, where they leave apart: the classes' one after the other, the
    last one before the result's ``valid``."""
    return {"logit": Out(signed(LOGIT_BITS)), "logit_valid": Out(1)} if apart else {}


class ConfigBus(Signature):
    """Writes of 32-bit words to the coefficient memories: no back-pressure, one a cycle.

    Every component hears every write and takes those in its own regions; write only while no
    sequence is in flight. The core's map of regions is made by ``rtl.generate``.
    """

    def __init__(self):
        super().__init__({"en": Out(1), "addr": Out(ADDRESS_BITS), "data": Out(32)})
