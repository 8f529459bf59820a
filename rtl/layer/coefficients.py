"""What a layer's state engine reads: coefficient memories and random streams, from the artifact."""

from amaranth.lib import data

from quant.integer import lfsr
from golden.base.qformat import QFormat
from rtl.layer import sampler_words
from rtl.parts.lfsr import WordSource, start_region
from rtl.parts.memory import ConfigMemory, Region, pack_rows
from rtl.layer.sampler_words import SamplerWords
from rtl.spec import LayerSpec
from rtl.parts.streams import shape_of

MODE = ("a_re", "a_im", "g_re", "g_im")
NEURON = ("d", "b")
INPUT = ("alpha", "beta")


def formats(spec: LayerSpec, tensors: tuple[str, ...]) -> dict[str, QFormat]:
    """Formats of tensors of a layer, fields of :class:`quant.integer.spiking.Layer`."""
    return {name: getattr(spec.fmt, spec.tensors.FORMAT_OF[name]) for name in tensors}


def region(spec: LayerSpec, name: str, tensors: tuple[str, ...], depth: int,
           per_row: int) -> Region:
    """A memory whose rows hold ``per_row`` consecutive elements of each tensor, in C order.

    The tensors lie lowest bits first, element by element; ``depth * per_row`` is their size.
    """
    found = formats(spec, tensors)
    columns = [(getattr(spec.tensors, name).reshape(depth, per_row)[:, j], q.width)
               for j in range(per_row) for name, q in found.items()]
    what = "mode neuron * n + k" if tensors == MODE else "neuron"
    return Region(name, sum(width for _, width in columns), pack_rows(columns),
                  f"{per_row} x ({', '.join(f'{name} {q}' for name, q in found.items())}); element "
                  f"j of row r is {what} number r * {per_row} + j")


def regions(spec: LayerSpec) -> list[Region]:
    """The regions of :class:`EngineMemories`."""
    geo, random = spec.geo, spec.random
    found = [region(spec, "state_coefficients", MODE, geo.issue, geo.lanes),
             region(spec, "neuron_coefficients", NEURON, geo.words, geo.G)]
    if spec.affine:
        found.append(region(spec, "input_coefficients", INPUT, geo.words, geo.G))
    for kind in (lfsr.SAMPLER_IN, lfsr.SAMPLER_OUT):
        found += sampler_words.regions(spec, kind)
    if spec.rounding == "stochastic":
        found.append(start_region("start_rounding", random, spec.seed,
                                  lfsr.stream_index(spec.number, lfsr.ROUNDING)))
    return found


class CoefficientMemory(ConfigMemory):
    """A memory of a layer's tensors, as :func:`region` lays them out.

    Parameters
    ----------
    spec : LayerSpec
    name : str
        Of the region.
    tensors : tuple of str
    per_row : int
        Elements of each tensor in a row.
    """

    def __init__(self, spec: LayerSpec, name: str, tensors: tuple[str, ...], per_row: int):
        shapes = {tensor: shape_of(q) for tensor, q in formats(spec, tensors).items()}
        self.layout = data.ArrayLayout(data.StructLayout(shapes), per_row)
        super().__init__(spec.regions[name], spec.hw)

    @property
    def row(self) -> data.View:
        """The row read, as an array of structures."""
        return data.View(self.layout, self.data)


class EngineMemories:
    """The memories and sources of one layer's engine.

    Attributes
    ----------
    modes : CoefficientMemory
        ``state_coefficients``: A_bar and g of G M modes per row, a row per cycle of a step.
    neurons : CoefficientMemory
        ``neuron_coefficients``: d and b of G neurons per row, a row per word.
    inputs : CoefficientMemory or None
        ``input_coefficients``, where ``alpha x + beta`` is sampled: alpha and beta likewise.
    words_in, words_out : SamplerWords
        ``start_in``, ``start_out``: G words of the samplers.
    draws_rounding : WordSource or None
        ``start_rounding``, with stochastic rounding only: a draw per lane.
    """

    def __init__(self, spec: LayerSpec):
        geo, random = spec.geo, spec.random
        self.modes = CoefficientMemory(spec, "state_coefficients", MODE, geo.lanes)
        self.neurons = CoefficientMemory(spec, "neuron_coefficients", NEURON, geo.G)
        self.inputs = None
        if spec.affine:
            self.inputs = CoefficientMemory(spec, "input_coefficients", INPUT, geo.G)
        self.words_in = SamplerWords(spec, lfsr.SAMPLER_IN)
        self.words_out = SamplerWords(spec, lfsr.SAMPLER_OUT)
        self.draws_rounding = None
        if spec.rounding == "stochastic":
            self.draws_rounding = WordSource(random, lfsr.word_bits(random, lfsr.ROUNDING),
                                             geo.lanes, spec.regions["start_rounding"])

    def submodules(self) -> dict:
        """Every part, by name."""
        return {name: part for name, part in vars(self).items() if part is not None}
