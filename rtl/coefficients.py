# amaranth: UnusedElaboratable=no
"""What a layer's state engine reads: coefficient memories and random streams, from the artifact."""

from amaranth.lib import data

from quant.integer import lfsr
from quant.integer.artifact import Artifact
from rtl.config import Geometry, HardwareConfig
from rtl.lfsr import WordSource
from rtl.memory import AddressMap, ConfigMemory, pack_rows
from rtl.sampler_words import STREAM, SamplerWords
from rtl.streams import shape_of

MODE = ("a_re", "a_im", "g_re", "g_im")
NEURON = ("d", "b")
INPUT = ("alpha", "beta")


class CoefficientMemory(ConfigMemory):
    """A memory whose rows hold ``per_row`` consecutive elements of each named tensor.

    Parameters
    ----------
    art : Artifact
    number : int
        Layer; the region is ``layer<number>.<text>``.
    tensors : tuple of str
        Fields of :class:`quant.integer.artifact.Layer`, lowest bits first, element by element.
    depth, per_row : int
        Their product is the tensors' size; elements are in C order.
    """

    def __init__(self, amap: AddressMap, art: Artifact, number: int, text: str,
                 tensors: tuple[str, ...], depth: int, per_row: int, hw: HardwareConfig):
        layer = art.layers[number]
        formats = {name: getattr(layer.fmt, layer.FORMAT_OF[name]) for name in tensors}
        columns = [(getattr(layer, name).reshape(depth, per_row)[:, j], q.width)
                   for j in range(per_row) for name, q in formats.items()]
        self.layout = data.ArrayLayout(
            data.StructLayout({name: shape_of(q) for name, q in formats.items()}), per_row)
        what = "mode neuron * n + k" if tensors == MODE else "neuron"
        region = amap.allocate(
            f"layer{number}.{text}", depth, self.layout.size,
            f"{per_row} x ({', '.join(f'{name} {q}' for name, q in formats.items())}); element j "
            f"of row r is {what} number r * {per_row} + j")
        super().__init__(region, pack_rows(columns), hw)

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
        ``input_coefficients``, with ``plain`` only: alpha and beta likewise.
    words_in, words_out : SamplerWords
        ``start_in``, ``start_out``: G words of the samplers.
    draws_rounding : WordSource or None
        ``start_rounding``, with stochastic rounding only: a draw per lane.
    """

    def __init__(self, art: Artifact, number: int, geo: Geometry, amap: AddressMap,
                 hw: HardwareConfig = HardwareConfig()):
        self.modes = CoefficientMemory(amap, art, number, "state_coefficients", MODE, geo.issue,
                                       geo.lanes, hw)
        self.neurons = CoefficientMemory(amap, art, number, "neuron_coefficients", NEURON,
                                         geo.words, geo.G, hw)
        self.inputs = None
        if art.residual == "plain":
            self.inputs = CoefficientMemory(amap, art, number, "input_coefficients", INPUT,
                                            geo.words, geo.G, hw)
        self.words_in = SamplerWords(art, number, lfsr.SAMPLER_IN, geo, amap, hw)
        self.words_out = SamplerWords(art, number, lfsr.SAMPLER_OUT, geo, amap, hw)
        self.draws_rounding = None
        if art.rounding == "stochastic":
            start = lfsr.stream_start(art.random, art.seed,
                                      lfsr.stream_index(number, lfsr.ROUNDING))
            region = amap.allocate(f"layer{number}.start_rounding", 1, art.random.width, STREAM)
            self.draws_rounding = WordSource(
                art.random, lfsr.word_bits(art.random, lfsr.ROUNDING), geo.lanes, region, start)

    def submodules(self) -> dict:
        """Every part, by name."""
        return {name: part for name, part in vars(self).items() if part is not None}
