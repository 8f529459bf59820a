"""Helpers for pipelines whose registers all advance with one enable."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data


def tree_stages(count: int, levels: int) -> int:
    """Registers in :meth:`Pipeline.total` of ``count`` values, at least one."""
    return max(1, -(-(count - 1).bit_length() // levels))


class Pipeline:
    """Makes registers in ``m`` that load when ``en`` is high; if ``reset_less`` without a reset."""

    def __init__(self, m: Module, en: Value):
        self.m = m
        self.en = en

    def register(self, value, name: str, reset_less: bool = True):
        """``value`` one enabled cycle later."""
        out = Signal(value.shape(), name=name, reset_less=reset_less)
        with self.m.If(self.en):
            self.m.d.sync += out.eq(value)
        return out

    def delay(self, value, count: int, name: str, reset_less: bool = True):
        """``value`` ``count`` enabled cycles later."""
        if count < 0:
            raise ValueError(f"{name} would be needed {-count} cycles before it is known")
        for j in range(count):
            value = self.register(value, f"{name}_{j + 1}", reset_less)
        return value

    def total(self, values: list, levels: int, name: str):
        """Exact sum, a register every ``levels`` adders: ``tree_stages`` cycles later."""
        for stage in range(tree_stages(len(values), levels)):
            groups = [values[j:j + (1 << levels)] for j in range(0, len(values), 1 << levels)]
            values = [self.register(_pairwise(group), f"{name}_{stage}_{j}")
                      for j, group in enumerate(groups)]
        return values[0]


def _pairwise(values: list) -> Value:
    while len(values) > 1:
        values = [sum(values[j + 1:j + 2], values[j]) for j in range(0, len(values), 2)]
    return Value.cast(values[0])


def buffer_output(m: Module, en: Value, valid: Value, result: data.View, o) -> None:
    """Register ``result`` to stream ``o`` and make ``en``, the enable of the pipeline before it.

    A second register takes the result that is on its way when ``o`` stops, so that ``en`` is a
    register and no path leads from ``o.ready`` through the pipeline. Latency 1 cycle.
    """
    spare, spare_valid = Signal(result.shape(), reset_less=True), Signal()
    m.d.comb += en.eq(~spare_valid)
    with m.If(~spare_valid):
        m.d.sync += spare.eq(result)
    with m.If(~o.valid | o.ready):
        m.d.sync += [o.valid.eq(spare_valid | valid), spare_valid.eq(0),
                     o.payload.eq(Mux(spare_valid, spare, result))]
    with m.Elif(en & valid):
        m.d.sync += spare_valid.eq(1)
