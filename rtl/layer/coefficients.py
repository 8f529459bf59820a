"""What a layer's states read: coefficient memories and rounding words, from the artifact."""

from amaranth.lib import data

from golden.base.qformat import wider
from quant.integer import lfsr
from quant.integer.operation import Tensor
from rtl.layer import chains
from rtl.parts.lfsr import start_regions
from rtl.parts.memory import ConfigMemory, Region, pack_rows
from rtl.parts.shared_source import source
from rtl.parts.streams import shape_of
from rtl.spec import LayerSpec, starts

MODE = ("a_re", "a_im", "g_re", "g_im")


def modes(spec: LayerSpec) -> dict[str, Tensor]:
    """Tensors (H, n) of ``state_coefficients``."""
    return {name: getattr(spec.cut.states.op, name) for name in MODE}


def neurons(spec: LayerSpec) -> dict[str, Tensor]:
    """Tensors (H,) of ``neuron_coefficients``; d and b in one format where they can be."""
    d, b = spec.cut.states.op.d, spec.cut.b
    if b and d.fmt.f_bits == b.fmt.f_bits:
        d, b = (Tensor(t.raw, wider(d.fmt, b.fmt)) for t in (d, b))
    return {"d": d} | ({"b": b} if b else {})


def region(name: str, tensors: dict[str, Tensor], what: str, depth: int, per_row: int) -> Region:
    """A memory whose rows hold ``per_row`` consecutive elements of each tensor, in C order.

    The tensors lie lowest bits first, element by element; ``depth * per_row`` is their size.
    """
    columns = [(t.raw.reshape(depth, per_row)[:, j], t.fmt.width)
               for j in range(per_row) for t in tensors.values()]
    names = ", ".join(f"{name} {t.fmt}" for name, t in tensors.items())
    return Region(name, sum(width for _, width in columns), pack_rows(columns),
                  f"{per_row} x ({names}); element j of row r is {what} number r * {per_row} + j")


def regions(spec: LayerSpec) -> list[Region]:
    """The regions of a state engine, its chains included."""
    geo, random, found = spec.geo, spec.random, []
    parts = [chains.front(spec), chains.middle(spec, 1)]
    if spec.cut.states:
        found = [region("state_coefficients", modes(spec), "mode neuron * n + k", geo.rows,
                        geo.lanes),
                 region("neuron_coefficients", neurons(spec), "neuron", geo.neuron_rows, geo.G)]
    found += [one for part in parts for one in part.regions()]
    if spec.rounding == "stochastic":
        found += start_regions("start_rounding", random, spec.seed, [
            lfsr.stream_index(spec.number + j, lfsr.ROUNDING) for j in range(geo.layers)])
    return found


class CoefficientMemory(ConfigMemory):
    """A memory of a layer's tensors, as :func:`region` lays them out.

    Parameters
    ----------
    spec : LayerSpec
    name : str
        Of the region.
    tensors : dict of str to Tensor
    per_row : int
        Elements of each tensor in a row.
    """

    def __init__(self, spec: LayerSpec, name: str, tensors: dict[str, Tensor], per_row: int):
        shapes = {tensor: shape_of(t.fmt) for tensor, t in tensors.items()}
        self.layout = data.ArrayLayout(data.StructLayout(shapes), per_row)
        super().__init__(spec.regions[name], spec.hw)

    @property
    def row(self) -> data.View:
        """The row read, as an array of structures."""
        return data.View(self.layout, self.data)


class StateMemories:
    """The memories and sources of one layer's states.

    Attributes
    ----------
    modes : CoefficientMemory
        ``state_coefficients``: A_bar and g of G M modes per row, a row per cycle of a step.
    neurons : CoefficientMemory
        ``neuron_coefficients``: d and b of G neurons per row, a row per word.
    draws_rounding : WordSource or None
        ``start_rounding``, with stochastic rounding only: a draw per lane.
    """

    def __init__(self, spec: LayerSpec):
        geo, random = spec.geo, spec.random
        self.modes = CoefficientMemory(spec, "state_coefficients", modes(spec), geo.lanes)
        self.neurons = CoefficientMemory(spec, "neuron_coefficients", neurons(spec), geo.G)
        self.draws_rounding = None
        if spec.rounding == "stochastic":
            self.draws_rounding = source(random, lfsr.word_bits(random, lfsr.ROUNDING),
                                         geo.lanes, starts(spec, "start_rounding"))

    def submodules(self) -> dict:
        """Every part, by name."""
        return {name: part for name, part in vars(self).items() if part is not None}
