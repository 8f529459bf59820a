"""What every operation of a block is: tensors with their number formats, and names of values."""

import inspect
import re
from collections.abc import Callable
from dataclasses import Field, dataclass, fields, replace
from reprlib import repr as shown
from typing import ClassVar

import numpy as np

from golden.base.cli import UserError
from golden.base.qformat import FormatError, QFormat


class ArtifactError(UserError):
    """An artifact that cannot be used; the message says what is wrong and what to do."""


def need(condition, text: str) -> None:
    """Raise ``ArtifactError(text)`` unless the condition holds."""
    if not condition:
        raise ArtifactError(text)


def inside(name: str, raw: np.ndarray, fmt: QFormat, shape: tuple) -> None:
    """Raise ``ArtifactError`` unless a tensor has this shape and fits its format.

    Entries of ``shape`` that are words stand for any size.
    """
    need(raw.ndim == len(shape) and all(isinstance(want, str) or want == has
                                        for want, has in zip(shape, raw.shape)),
         f"{name}: shape {raw.shape}, expected {shape}")
    try:
        fmt.check(raw, name) if raw.size else None
    except FormatError as error:
        raise ArtifactError(str(error)) from None


@dataclass(frozen=True)
class Tensor:
    """An array and its number format: raw integers, or real numbers where ``fmt`` is None."""

    raw: np.ndarray
    fmt: QFormat | None = None

    @property
    def real(self) -> np.ndarray:
        return self.raw if self.fmt is None else self.raw * 2.0 ** -self.fmt.f_bits


def round_half_even(raw, shift: int):
    """``raw / 2**shift`` to the nearest integer, ties to the even one; shift >= 0.

    Half to even is what ``torch.round`` does, hence Brevitas' default ``FloatToIntImplType.ROUND``.
    """
    down = raw >> shift
    rest = raw - (down << shift)
    half = 1 << shift >> 1
    return down + ((rest > half) | ((rest == half) & (down & 1 == 1) & (shift > 0)))


def top(fmt: QFormat) -> int:
    """Largest magnitude of a raw integer of a format."""
    return max(-fmt.lo, fmt.hi)


def largest(raw) -> int:
    """Largest magnitude in an integer array, as a Python integer."""
    return max(abs(int(np.min(raw))), abs(int(np.max(raw)))) if np.size(raw) else 0


@dataclass(frozen=True)
class Operation:
    """One operation; ``wiring`` names what it reads and makes, such as ``z x -> z``."""

    wiring: str

    SHAPES: ClassVar[dict[str, tuple]] = {}     # of tensors that are not (H,), "H" and "n" in them
    states: ClassVar[bool] = False              # whether it has a memory from step to step
    backwards: ClassVar[bool] = False   # whether it goes from a sequence's last step to its first

    def __init_subclass__(cls, **options) -> None:
        """Refuse an operation that lacks what runs it, where it is written and not where it runs.

        Each needs :meth:`format`, and :meth:`begin` if it ``states``, else :meth:`apply`.
        """
        super().__init_subclass__(**options)
        runs = "begin" if cls.states else "apply"
        lacks = [name for name in ("format", runs)
                 if getattr(cls, name) is getattr(Operation, name)]
        if lacks:
            raise ArtifactError(
                f"operation {cls.__module__}:{cls.__qualname__} has no {' and no '.join(lacks)}; "
                f"one {'with' if cls.states else 'without'} a memory needs format and {runs}, see "
                f"docs/operations.md")

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(self.wiring.split(" -> ")[0].split())

    @property
    def makes(self) -> str:
        return self.wiring.split(" -> ")[1]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those it has, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)
                if isinstance(getattr(self, f.name), Tensor)}

    @property
    def saturates(self) -> dict[str, QFormat]:
        """Formats in which it saturates and is counted, by the name that reports give the value."""
        return {}

    def seen_as(self, name: str) -> str:
        """How calibration and its reports call what saturates; other than ``name`` where a block
        may have several."""
        return name

    def on_tensors(self, change: Callable[[str, Tensor], Tensor]) -> "Operation":
        """The same with ``change(name, tensor)`` in place of every tensor."""
        return replace(self, **{name: change(name, t) for name, t in self.tensors.items()})

    def check(self, need: Callable, *inputs: QFormat) -> None:
        """Call ``need(condition, text)`` for every rule beside shapes and ranges of tensors."""

    def format(self, *inputs: QFormat) -> QFormat:
        """Format of the result for inputs of these formats."""
        raise TypeError(f"{self}: the base of all operations computes nothing")

    def apply(self, formats: tuple[QFormat, ...], *raws):
        """The result's raw integers; of :class:`Limit` also where it saturated."""
        raise TypeError(f"{self} has a memory: it runs by begin, step after step")

    def begin(self, formats: tuple[QFormat, ...], draws) -> Callable:
        """With a memory: what runs one sequence, called with the inputs of each step in turn.

        ``saturated`` of it says where the last step saturated, if it does; ``over`` how often all
        did. ``shown(place)`` are the words (H,) that the signature has of the last step, place 0 of
        a block's first memory (:mod:`quant.integer.signature`); a network with a memory that lacks
        it has no traces. What goes ``backwards`` has ``foresee(inputs)`` too, called before with
        the inputs of all steps. ``draws``: a :class:`quant.integer.memory.Draws`.
        """
        raise TypeError(f"{self} has no memory: it runs by apply")

    def along(self, formats: tuple[QFormat, ...], draws, *raws: np.ndarray,
              place: int | None = None):
        """With a memory: (B, L, H) results of inputs (B, L, H), where they saturated or None, and
        words for the signature, of memory ``place`` of its block, None: no words.

        Step after step, sequences side by side: what :meth:`begin` gives must take (B, H).
        """
        run, made, saturated, words = self.begin(formats, draws), [], [], []
        for t in range(raws[0].shape[1]):
            now = [raw[:, t] for raw in raws]
            made.append(np.broadcast_to(run(*now), now[0].shape))
            if self.saturates:
                saturated.append(run.saturated)
            if place is not None:
                words.append(np.broadcast_to(run.shown(place), now[0].shape))
        return tuple(np.stack(each, 1) if each else None for each in (made, saturated, words))

    def bound(self, formats: tuple[QFormat, ...], *tops: int) -> int:
        """No magnitude on the way to the result is larger, for inputs up to ``tops``."""
        return tops[0]

    def __str__(self) -> str:
        return f"{type(self).__name__} ({self.wiring})"


WIRING = re.compile(r"\w+( \w+)* -> \w+")
TYPES = {"Tensor": (Tensor, "a tensor"), "QFormat": (QFormat, "a number format"),
         "str": (str, "a text"), "int": (int, "a whole number"), "float": (float, "a number"),
         "bool": (bool, "true or false")}


def kind_of(field: Field) -> tuple[str, bool]:
    """What type an operation's field has, by its annotation, and whether it may be missing."""
    said = field.type if isinstance(field.type, str) else getattr(
        field.type, "__name__", str(field.type))
    kinds = [word.strip().rpartition(".")[2] for word in said.split("|")]
    return kinds[0], "None" in kinds


def check_fields(op: Operation, need: Callable) -> None:
    """Call ``need(condition, text)`` for what holds of any operation: types, wiring, arity."""
    need(type(op.wiring) is str and WIRING.fullmatch(op.wiring),
         f"wiring must be like 'z x -> z', not {shown(op.wiring)}")
    for f in fields(op):
        value, (kind, can_lack) = getattr(op, f.name), kind_of(f)
        if f.metadata.get("training") or (value is None and can_lack):
            continue
        wanted, words = TYPES.get(kind, (type(value), kind))
        need(type(value) is wanted, f"{f.name} is missing" if value is None else
             f"{f.name} must be {words}, not {shown(value)}")
        if kind == "Tensor":
            need(isinstance(value.raw, np.ndarray) and value.raw.dtype.kind in "iu"
                 and isinstance(value.fmt, QFormat), f"{f.name} must be integers of a format")
    takes = inspect.signature(op.format).parameters.values()
    need(len(op.reads) == len(takes) or any(p.kind == p.VAR_POSITIONAL for p in takes),
         f"it reads {len(takes)} value{'s' * (len(takes) > 1)}, not {len(op.reads)}")


def wired(ops: tuple[Operation, ...], formats: dict[str, QFormat]
          ) -> tuple[list[tuple[Operation, tuple[QFormat, ...]]], dict[str, QFormat]]:
    """Operations with the formats of what they read, and those of all values behind the last.

    ``formats`` are those of the values in front of the first. Raises :class:`ArtifactError` for a
    value that nothing has made.
    """
    formats, found = dict(formats), []
    for op in ops:
        missing = [name for name in op.reads if name not in formats]
        if missing:
            raise ArtifactError(f"{op} reads {missing[0]}, which nothing makes before it")
        inputs = tuple(formats[name] for name in op.reads)
        found.append((op, inputs))
        formats[op.makes] = op.format(*inputs)
    return found, formats
