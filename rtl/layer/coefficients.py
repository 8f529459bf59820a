"""What a layer's states read: coefficient memories and rounding words, from the artifact."""

import numpy as np
from amaranth.lib import data

from golden.base.qformat import wider
from quant.integer import lfsr
from quant.integer.operation import Tensor
from rtl.layer import chains
from rtl.parts.lfsr import start_regions
from rtl.parts.memory import ConfigMemory, Region, pack_rows
from rtl.parts.shared_source import source
from rtl.parts.two_way_source import TwoWaySource
from rtl.parts.streams import shape_of
from rtl.spec import LayerSpec, starts

MODE = ("a_re", "a_im", "g_re", "g_im")
DECAYS, GAINS = ("a_re", "a_im", "a2_re", "a2_im"), ("g1_re", "g1_im", "g_re", "g_im")


def modes(spec: LayerSpec) -> dict[str, Tensor]:
    """Tensors (H, n) of ``state_coefficients``; see :func:`entering`."""
    names = MODE if spec.geo.P == 1 else DECAYS if spec.spikes_enter else DECAYS + GAINS
    return {name: getattr(spec.cut.states.op, name) for name in names}


def entering(spec: LayerSpec) -> dict[str, Tensor]:
    """Tensors (H, n, 4): what two steps' spikes let enter, ``g1 s1 + g s2``, at 2 s1 + s2.

    Where two spikes enter the states they are in memories ``state_inputs0`` and on, one for each
    neuron of a word, in place of g; else there are none.
    """
    op, spikes = spec.cut.states.op, np.arange(4)
    if spec.geo.P == 1 or not spec.spikes_enter:
        return {}
    return {f"in_{part}": Tensor(first.raw[..., None] * (spikes >> 1)
                                 + second.raw[..., None] * (spikes & 1), second.fmt.total(2))
            for part, first, second in (("re", op.g1_re, op.g_re), ("im", op.g1_im, op.g_im))}


def neurons(spec: LayerSpec) -> dict[str, Tensor]:
    """Tensors (H,) of ``neuron_coefficients``; d and b in one format where they can be; d1."""
    op, b = spec.cut.states.op, spec.cut.b
    d = op.d
    if b and d.fmt.f_bits == b.fmt.f_bits:
        d, b = (Tensor(t.raw, wider(d.fmt, b.fmt)) for t in (d, b))
    return {"d": d} | ({"b": b} if b else {}) | ({"d1": op.d1} if spec.geo.P > 1 else {})


def region(name: str, tensors: dict[str, Tensor], what: str, depth: int, per_row: int) -> Region:
    """A memory whose rows hold ``per_row`` consecutive elements of each tensor, in C order.

    The tensors lie lowest bits first, element by element; ``depth * per_row`` is their size. what :
    element j of row r, in words.
    """
    columns = [(t.raw.reshape(depth, per_row)[:, j], t.fmt.width)
               for j in range(per_row) for t in tensors.values()]
    names = ", ".join(f"{name} {t.fmt}" for name, t in tensors.items())
    return Region(name, sum(width for _, width in columns), pack_rows(columns),
                  f"{per_row} x ({names}); element j of row r is {what}")


def regions(spec: LayerSpec) -> list[Region]:
    """The regions of a state engine, its chains included."""
    geo, random, found = spec.geo, spec.random, []
    parts = [chains.front(spec), chains.middle(spec, 1)]
    if spec.cut.states:
        found = [region("state_coefficients", modes(spec),
                        f"mode neuron * n + k number r * {geo.lanes} + j", geo.rows, geo.lanes),
                 *inputs(spec),
                 region("neuron_coefficients", neurons(spec), f"neuron number r * {geo.G} + j",
                        geo.neuron_rows, geo.G)]
    found += [one for part in parts for one in part.regions()]
    if spec.rounding == "stochastic":
        cuts = spec.cuts or (spec.cut,)
        found += start_regions("start_rounding", random, spec.seed, [
            lfsr.stream_index(cut.states.op.layer, lfsr.ROUNDING) for cut in cuts])
    return found


def inputs(spec: LayerSpec) -> list[Region]:
    """``state_inputs0`` and on: row ``4 r + 2 s1 + s2`` is for row r of the states."""
    geo, parts = spec.geo, {}
    for name, t in entering(spec).items():
        # neuron, cycle, mode, spikes -> word's neuron, word, cycle, spikes, mode
        raw = t.raw.reshape(geo.neuron_rows, geo.G, geo.F, geo.M, 4).transpose(1, 0, 2, 4, 3)
        parts[name] = [Tensor(part, t.fmt) for part in raw]
    return [region(f"state_inputs{g}", {name: part[g] for name, part in parts.items()},
                   f"g1 s1 + g s2 of mode r // 4 % {geo.F} * {geo.M} + j of neuron r // {4 * geo.F}"
                   f" * {geo.G} + {g}, s1 and s2 are the bits 1 and 0 of r", 4 * geo.rows, geo.M)
            for g in range(geo.G if parts else 0)]


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
    registered : bool
        As of :class:`rtl.parts.memory.WideMemory`.
    """

    def __init__(self, spec: LayerSpec, name: str, tensors: dict[str, Tensor], per_row: int,
                 registered: bool = False):
        shapes = {tensor: shape_of(t.fmt) for tensor, t in tensors.items()}
        self.layout = data.ArrayLayout(data.StructLayout(shapes), per_row)
        super().__init__(spec.regions[name], spec.hw, registered)

    @property
    def row(self) -> data.View:
        """The row read, as an array of structures."""
        return data.View(self.layout, self.data)


class StateMemories:
    """The memories and sources of one layer's states.

    Attributes
    ----------
    modes : CoefficientMemory
        ``state_coefficients``: A_bar and g of G M modes per row, a row per cycle of a block;
        registered where a lane has registers for that.
    inputs : list of CoefficientMemory
        ``state_inputs0`` and on, one for each of G neurons, see :func:`entering`; registered
        likewise.
    neurons : CoefficientMemory
        ``neuron_coefficients``: d and b of G neurons per row, a row per word; registered likewise.
    draws_rounding : WordSource or None
        ``start_rounding``, with stochastic rounding only: a draw per lane.
    """

    def __init__(self, spec: LayerSpec):
        geo, random = spec.geo, spec.random
        self.modes = CoefficientMemory(spec, "state_coefficients", modes(spec), geo.lanes,
                                       spec.hw.spread)
        found = entering(spec)
        self.inputs = [CoefficientMemory(spec, f"state_inputs{g}", found, geo.M, spec.hw.spread)
                       for g in range(geo.G if found else 0)]
        self.neurons = CoefficientMemory(spec, "neuron_coefficients", neurons(spec), geo.G,
                                         spec.hw.spread)
        self.draws_rounding = None
        if spec.rounding == "stochastic":
            bits, found = lfsr.word_bits(random, lfsr.ROUNDING), starts(spec, "start_rounding")
            self.draws_rounding = TwoWaySource(random, bits, geo.lanes, geo.H * geo.n, found) \
                if spec.two_way else source(random, bits, geo.lanes, found, spec.hw.spread)

    def submodules(self) -> dict:
        """Every part, by name."""
        found = {name: part for name, part in vars(self).items() if part not in (None, self.inputs)}
        return found | {f"inputs{g}": part for g, part in enumerate(self.inputs)}
