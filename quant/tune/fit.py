"""Choosing number formats: binary points fitted to a folded network and to what it was seen doing.

Each kind of operation has its rule; a rule sees the formats of what the operation reads, so the
operations of a block are gone through in their order.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from golden.base.cli import UserError
from golden.base.qformat import SQ, UQ, FormatError, QFormat, cover_signed, fit_signed
from quant.formats import BIT, GELU_I, SIGMOID_I, TERNARY, THRESHOLD, QuantConfig, RandomFormat
from quant.integer import lfsr, ops
from quant.integer.future import Future
from quant.integer.head import Head, HeadFormats
from quant.integer.membrane import Integrate
from quant.integer.memory import States
from quant.integer.operation import Operation, Tensor
from quant.integer.program import Program
from quant.tune.blocks import in_blocks

Range = tuple[np.ndarray, np.ndarray]


class ExportError(UserError):
    """The network does not become integers; the message names layer, tensor, count and range."""


@dataclass(frozen=True)
class Extremes:
    """What a calibration saw: lowest and highest value per element.

    blocks : by (place, name) of a value that is limited, (H,) each, of membranes before the reset,
    and of the states ``h`` (2, H, n); head : by tensor (mean, hidden), (F,) each, empty without a
    head.
    """

    blocks: dict[tuple[object, str], Range]
    head: dict[str, Range]

    def of(self, name: str) -> np.ndarray:
        """All extremes of the values of a name, flat."""
        return np.concatenate([np.ravel(end) for (_, own), ends in self.blocks.items()
                               if own == name for end in ends])


def random_format(length: int, recurrences: int, H: int, n: int) -> RandomFormat:
    """The 32-bit generator if its streams are long and many enough, else the 48-bit one."""
    short = RandomFormat()
    return lfsr.LONG if lfsr.misfit(short, length, recurrences, H, n) else short


def fitted(name: str, values, width: int, f_max: int | None = None) -> QFormat:
    """:func:`golden.base.qformat.fit_signed`; refuses values beyond any ``SQ(i, f)``, f >= 0."""
    values = np.asarray(values)
    try:
        fmt = fit_signed(values, width, f_max)
    except FormatError as error:
        raise ExportError(f"{name}: {error}; use other widths") from None
    if fmt.f_bits < 0:
        limit = (1 << width - 1) - 1
        raise ExportError(f"{name}: {np.count_nonzero(np.abs(values) > limit)} of {values.size} "
                          f"values leave {width} bits: seen [{values.min():.4g}, "
                          f"{values.max():.4g}], SQ({width},0) ends at {limit}; use more bits")
    return fmt


def covering(t: Tensor, f_bits: int) -> QFormat:
    return cover_signed(t.raw.min(), t.raw.max(), f_bits)


@dataclass(frozen=True)
class Fitting:
    """The rules for the operations of one place; ``x`` is the format of what blocks pass on."""

    place: object
    config: QuantConfig
    seen: Extremes
    x: QFormat

    def fitted(self, op: Operation, name: str, values, width: int, f_max=None) -> QFormat:
        where = "encoder" if self.place == "first" else f"layer {self.place}"
        return fitted(f"{where}, {op}, {name}", values, width, f_max)

    def range_of(self, name: str) -> np.ndarray:
        return self.config.margin * np.stack(self.seen.blocks[self.place, name])

    def scale(self, op: ops.Scale, x: QFormat) -> Operation:
        a, b, wide = op.a, op.b, self.config.encoder_bits
        if a and a.fmt != TERNARY:
            a = Tensor(a.raw, self.fitted(op, "a", a.raw, wide))
        if b:
            product = x.f_bits + (a.fmt.f_bits if a else 0)
            # an offset of a sampler or of a sum has that one's own fraction bits
            fmt = (covering(b, x.f_bits) if a is None or op.makes == "p_out"
                   else self.fitted(op, "b", b.raw, wide, product))
            b = Tensor(b.raw, fmt)
        return replace(op, a=a, b=b)

    def embed(self, op: ops.Embed, _v) -> Operation:
        return replace(op, table=Tensor(op.table.raw, self.x))

    def states(self, op: States, u: QFormat) -> Operation:
        config, a_bar = self.config, SQ(1, self.config.coef_bits - 1)
        h = self.memory(op, op.state, self.range_of(op.state))
        g = self.fitted(op, "g", [t.raw for name, t in op.tensors.items() if name[0] == "g"],
                        config.g_bits, a_bar.f_bits + h.f_bits - u.f_bits)
        formats = {name: {"a": a_bar, "g": g}.get(name[0]) for name in op.tensors}
        for name in ("d", "d1"):
            if name in formats:
                d = op.tensors[name]
                formats[name] = (covering(d, h.f_bits) if u == BIT
                                 else self.fitted(op, name, d.raw, config.g_bits))
        return replace(op.on_tensors(lambda name, t: Tensor(t.raw, formats[name])), h=h,
                       rounding=config.rounding)

    def memory(self, op: Operation, name: str, values) -> QFormat:
        """Of what is kept from step to step."""
        config = self.config
        if config.state_i_bits is None:
            return self.fitted(op, name, values, config.state_bits)
        return SQ(config.state_i_bits, config.state_bits - config.state_i_bits)

    def integrate(self, op: Integrate, _y) -> Operation:
        """theta is always below the end of v, also where calibration saw no spike."""
        seen = self.range_of(op.seen_as("v"))
        v = self.memory(op, "v", np.append(seen, self.config.margin * op.theta.raw))
        return replace(op, v=v, leak=Tensor(op.leak.raw, UQ(0, self.config.coef_bits)),
                       theta=Tensor(op.theta.raw, covering(op.theta, v.f_bits)))

    def mix(self, op: ops.Mix, s: QFormat) -> Operation:
        if op.shift is None:
            return replace(op, w=Tensor(op.w.raw, TERNARY),
                           bias=Tensor(op.bias.raw, covering(op.bias, s.f_bits)))
        return replace(op, w=Tensor(op.w.raw, SQ(self.config.weight_bits, 0)),
                       shift=Tensor(op.shift.raw, UQ(self.config.shift_bits, 0)),
                       bias=Tensor(op.bias.raw, covering(op.bias, self.config.p_bits)))

    def round(self, op: ops.Round, _x) -> Operation:
        return replace(op, bits=self.x.f_bits)

    def limit(self, op: ops.Limit, x: QFormat) -> Operation:
        config = self.config
        if op.makes == "x":
            return replace(op, to=self.x)
        if not op.counted:                                      # an index, which ends where it ends
            return replace(op, to=SQ(SIGMOID_I, min(config.table_bits - SIGMOID_I, x.f_bits)))
        width = config.factor_bits if op.makes in ("n", "gate") else config.input_bits
        return replace(op, to=self.fitted(op, op.makes, self.range_of(op.makes), width, x.f_bits))

    def table(self, op: ops.Table, y: QFormat) -> Operation:
        bits = self.config.table_bits
        index, table = ((y, UQ(1, bits)) if op.kind == "sigmoid" else
                        (UQ(GELU_I, min(bits - GELU_I, y.f_bits)), UQ(0, y.f_bits)))
        return replace(op, index=index, table=Tensor(op.table.raw, table))

    def ternary(self, op: ops.Ternary, _z) -> Operation:
        return replace(op, threshold=Tensor(op.threshold.raw, THRESHOLD))

    RULES = {ops.Scale: scale, ops.Embed: embed, States: states, Future: states,
             Integrate: integrate, ops.Mix: mix, ops.Round: round,
             ops.Limit: limit, ops.Table: table, ops.Ternary: ternary}

    def all(self, operations: tuple[Operation, ...], formats: dict[str, QFormat]
            ) -> tuple[Operation, ...]:
        """Operations with formats; ``formats`` are those of what is there before them."""
        found = []
        for op in operations:
            inputs = tuple(formats[name] for name in op.reads)
            if type(op) in self.RULES:
                op = self.RULES[type(op)](self, op, *inputs)
            formats[op.makes] = op.format(*inputs)
            found.append(op)
        return tuple(found)


def _head(head: Head, seen: Extremes, config: QuantConfig, f_max: int) -> Head:
    """A head with formats; a mean gets at most ``f_max`` fraction bits, those of the features."""
    def fit_to(name: str, values, most: int | None = None) -> QFormat:
        return fitted(f"head, {name}", values, config.input_bits, most)

    mean = fit_to("mean", config.margin * np.stack(seen.head["mean"]), f_max)
    w1, w2 = fit_to("w1", head.w1), fit_to("w2", head.w2)
    acc = w1.f_bits + 2 * mean.f_bits
    hidden = fit_to("hidden", config.margin * seen.head["hidden"][1], acc)
    return replace(head, fmt=HeadFormats(
        mean, w1, cover_signed(head.b1.min(), head.b1.max(), acc), hidden, w2,
        cover_signed(head.b2.min(), head.b2.max(), w2.f_bits + hidden.f_bits)))


def formats_of(op: Operation) -> dict:
    """All formats of an operation, its options that are one, and its tensors', by name."""
    options = {f.name: getattr(op, f.name) for f in fields(op)
               if isinstance(getattr(op, f.name), QFormat) or f.name in ("bits", "rounding")}
    return options | {name: t.fmt for name, t in op.tensors.items()}


def one_format(program: Program) -> bool:
    """Whether all layers of a network with formats have the same operations and formats."""
    found = [[(type(op), op.wiring, formats_of(op)) for op in ops_] for ops_ in program.blocks]
    return all(others == found[0] for others in found)


def _stacked(blocks: tuple[tuple[Operation, ...], ...]) -> tuple[Operation, ...]:
    """Operations with the tensors of those of all layers, one behind the other."""
    kinds = [[(type(op), op.wiring, [*op.tensors]) for op in ops_] for ops_ in blocks]
    for j, found in enumerate(kinds):
        if found != kinds[0]:
            raise ExportError(f"layer {j} has other operations than layer 0, so they cannot have "
                              f"one format; leave --one-format out")
    return tuple(same[0].on_tensors(lambda name, t, same=same: Tensor(np.concatenate(
        [np.atleast_1d(op.tensors[name].raw) for op in same]), t.fmt)) for same in zip(*blocks))


def _one_gain(found: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Operations whose states, of both sides, have one format of what enters."""
    gains = [op.g_re.fmt for op in found if isinstance(op, States)]
    g = max(gains, key=lambda fmt: fmt.i_bits, default=None)
    return tuple(op.on_tensors(lambda name, t: Tensor(t.raw, g if name[0] == "g" else t.fmt))
                 if isinstance(op, States) else op for op in found)


def _with_one_format(blocks: tuple[tuple[Operation, ...], ...], config: QuantConfig,
                     seen: Extremes, x: QFormat) -> tuple[tuple[Operation, ...], ...]:
    """The operations of all layers in formats that hold what any of them has, and was seen doing;
    of a two-sided kernel also what either side has.
    """
    place, merged = f"0 to {len(blocks) - 1}", {}
    for (where, name), (low, high) in seen.blocks.items():
        if where != "first":
            before = merged.get((place, name), (low, high))
            merged[place, name] = np.minimum(low, before[0]), np.maximum(high, before[1])
    sides = [(place, op.state) for op in blocks[0] if isinstance(op, States)]
    both = [merged[side] for side in sides if side in merged]
    for side in sides if both else ():
        merged[side] = (np.min([low for low, _ in both], 0), np.max([high for _, high in both], 0))
    fitted_ops = _one_gain(Fitting(place, config, replace(seen, blocks=merged), x).all(
        _stacked(blocks), {"x": x}))

    def like(op: Operation, other: Operation) -> Operation:
        formats = formats_of(other)
        options = {name: fmt for name, fmt in formats.items() if name not in op.tensors}
        return replace(op, **options).on_tensors(lambda name, t: Tensor(t.raw, formats[name]))
    return tuple(tuple(map(like, ops_, fitted_ops)) for ops_ in blocks)


def fit(program: Program, seen: Extremes, config: QuantConfig, sample: QFormat | None) -> Program:
    """The program with formats; ``sample`` is the task's sample format, None: tokens.

    Raises :class:`ExportError` where a sum would lack fraction bits, and with two steps per update
    :class:`ArtifactError` where states go backwards.
    """
    program = in_blocks(program, config.block)
    x = UQ(1, config.p_bits)
    if any(isinstance(op, ops.Limit) and op.makes == "x" for op in program.blocks[0]):  # a stream
        ends = np.append(seen.of("x"), 0.0)
        x = cover_signed(config.margin * ends.min(), config.margin * ends.max(), config.p_bits)
    program = replace(program, sample=sample)
    first = Fitting("first", config, seen, x).all(program.first, {"v": program.input_format})
    scale = first[0]
    if sample and scale.a.fmt.f_bits + sample.f_bits < x.f_bits:
        values = scale.a.raw
        raise ExportError(f"encoder, a: {values.size} values up to {np.abs(values).max():g} leave "
                          f"{scale.a.fmt.f_bits + sample.f_bits} fraction bits in {scale.a.fmt} * "
                          f"{sample}, x needs {x.f_bits}; use a wider encoder")
    dec_w = fitted("decoder_w", program.decoder_w.raw, config.decoder_bits)
    dec_b = covering(program.decoder_b, dec_w.f_bits + x.f_bits)
    if config.one_format:
        blocks = _with_one_format(program.blocks, config, seen, x)
    else:
        blocks = tuple(Fitting(j, config, seen, x).all(ops_, {"x": x})
                       for j, ops_ in enumerate(program.blocks))
    return replace(
        program, first=first, blocks=blocks,
        decoder_w=Tensor(program.decoder_w.raw, dec_w),
        decoder_b=Tensor(program.decoder_b.raw, dec_b),
        head=program.head and _head(program.head, seen, config, dec_b.f_bits))
