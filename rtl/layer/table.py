"""The cell of an artifact's table: sigmoid, or GELU beside its identity."""

from golden.base.qformat import QFormat
from quant.integer import ops
from rtl.layer.cells import CELLS, Cell
from rtl.layer.flow import rounded
from rtl.layer.tables import lookup, magnitude, positive_less
from rtl.parts.memory import ConfigMemory, Region, pack_rows


class Table(Cell):
    """A memory of the table for each value of a word; all have the same content."""

    op: ops.Table

    def regions(self):
        t = self.op.table
        return [Region(self.name(self.op.kind), t.fmt.width, pack_rows([(t.raw, t.fmt.width)]),
                       f"{self.op.kind} in {t.fmt} of every raw integer of {self.op.index}, the "
                       f"lowest first")]

    def build(self, flow, y):
        y = flow.plain(y)
        index, fmt = self.op.index, self.op.table.fmt
        if self.op.kind == "sigmoid":
            at = flow.made(lambda y: y - index.lo, 0, index.hi - index.lo, 0, y, what="index")
            return self._entry(flow, at, fmt)
        size = rounded(flow, *flow.together(magnitude(flow, y)), index.f_bits)
        size, = flow.together(size)
        at = flow.made(lambda v: _least(v, index), 0, min(size.hi, index.hi), 0, size, what="index")
        return positive_less(flow, y, self._entry(flow, at, fmt))

    def _entry(self, flow, at, fmt: QFormat):
        # One is the region itself.
        others = self.spec.geo.values - 1
        flow.memories += [("tables", len(self.op.table.raw), fmt.width)] * others

        def memory(g):
            part = ConfigMemory(self.spec.regions[self.name(self.op.kind)], self.spec.hw)
            flow.host.memory(f"{self.key}_table{g}", part)
            return part
        return lookup(flow, at, fmt.lo, fmt.hi, fmt.f_bits, memory)


def _least(v, index: QFormat):
    """``min(v, index.hi)``: all bits one where one above them is."""
    return v[:index.width] | v[index.width:].any().replicate(index.width)


CELLS[ops.Table] = Table
