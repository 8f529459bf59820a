"""Operations as plain JSON and back, strictly: no key too many, none missing, no default.

A user's own operation is named by its module and class; who reads it has imported that module.
"""

import sys
from collections.abc import Callable
from dataclasses import fields
from reprlib import repr as shown

import numpy as np

from golden.base.cli import differing
from golden.base.qformat import QFormat
from quant.integer import future, membrane, memory, ops
from quant.integer.operation import ArtifactError, Operation, Tensor, kind_of, need
from quant.integer.program import Program

MODULES = ops, memory, future, membrane
KINDS = {cls.__name__: cls for module in MODULES for cls in vars(module).values()
         if isinstance(cls, type) and issubclass(cls, Operation) and cls is not Operation}


def keys(found: object, wanted: tuple[str, ...], where: str, optional: tuple[str, ...] = ()
         ) -> dict:
    """``found``, if it is a JSON object of just these keys; ``ArtifactError`` else."""
    need(isinstance(found, dict), f"{where} must be an object, not {shown(found)}")
    different = differing({*wanted, *found.keys() & optional}, found)
    need(not different, f"{where}: {different}")
    return found


def described(op: Operation) -> dict:
    """An operation as plain JSON, its tensors by their formats."""
    cls = type(op)
    own = KINDS.get(cls.__name__) is not cls
    found = {"operation": f"{cls.__module__}:{cls.__name__}" if own else cls.__name__}
    for f in fields(op):
        value = getattr(op, f.name)
        if value is not None and not f.metadata.get("training"):
            found[f.name] = (str(value.fmt) if isinstance(value, Tensor)
                             else str(value) if isinstance(value, QFormat) else value)
    return found


def _class(name: str) -> type:
    """The class of an operation: one of ours, or of a user's ``package.module:Class``."""
    module, colon, own = name.partition(":")
    if not colon:
        if name not in KINDS:
            raise ArtifactError(f"operation {name[:80]} is unknown; known: {', '.join(KINDS)}, or "
                                f"one of your own as package.module:Class")
        return KINDS[name]
    # never imported from here: a data file must not choose what code runs
    cls = getattr(sys.modules.get(module), own, None)
    if not (isinstance(cls, type) and issubclass(cls, Operation)):
        raise ArtifactError(f"operation {name[:80]} is not loaded; import {module[:80]} first, for "
                            f"instance in the module of your --task")
    return cls


def restored(values: object, array: Callable[[str], np.ndarray], where: str) -> Operation:
    """Inverse of :func:`described`; ``array(name)`` gives a tensor's integers."""
    need(isinstance(values, dict) and isinstance(values.get("operation"), str),
         f"{where} must be an object that names an operation, not {shown(values)}")
    cls = _class(values["operation"])
    kinds = {f.name: kind_of(f) for f in fields(cls) if not f.metadata.get("training")}
    optional = tuple(name for name, (_, can_lack) in kinds.items() if can_lack)
    keys(values, ("operation", *(name for name in kinds if name not in optional)),
         f"{where}, {cls.__name__}", optional)

    def value(name: str):
        kind, found = kinds[name][0], values[name]
        if kind not in ("Tensor", "QFormat"):
            return found
        need(isinstance(found, str), f"{where}, {cls.__name__}, {name}: {shown(found)} is not "
                                     f"a number format")
        return QFormat.parse(found) if kind == "QFormat" else Tensor(array(name),
                                                                     QFormat.parse(found))
    return cls(**{name: value(name) for name in values if name != "operation"})


def structure(program: Program) -> dict:
    """Operations and formats of a program as plain JSON, without its integers and its head."""
    found = {"sample": program.sample and str(program.sample),
             "first": [described(op) for op in program.first],
             "blocks": [[described(op) for op in ops] for ops in program.blocks],
             "decoder": {"w": str(program.decoder_w.fmt), "b": str(program.decoder_b.fmt)}}
    return found if program.block == 1 else found | {"block": program.block}


STRUCTURE = ("sample", "first", "blocks", "decoder")


def of_structure(m: dict, arrays: Callable[[str], np.ndarray]) -> dict:
    """Inverse of :func:`structure`, as arguments of a program; ``arrays`` by place and name."""
    def array(name: str) -> np.ndarray:
        try:
            return arrays(name)
        except KeyError:
            raise ArtifactError(f"there is no array {name[:80]}") from None

    def part(where, said, found):
        need(isinstance(found, list), f"{said} must be a list of operations, not "
                                      f"{shown(found)}")
        return tuple(restored(op, lambda name, i=i: array(f"{where}.{i}.{name}"),
                              f"{said}, operation {i}") for i, op in enumerate(found))

    need(isinstance(m["blocks"], list), "blocks must be a list of lists of operations")
    decoder = keys(m["decoder"], ("w", "b"), "decoder")
    return {"sample": None if m["sample"] is None else QFormat.parse(m["sample"]),
            "block": m.get("block", 1),
            "first": part("first", "encoder", m["first"]),
            "blocks": tuple(part(j, f"layer {j}", ops) for j, ops in enumerate(m["blocks"]))} | {
        f"decoder_{x}": Tensor(array(f"decoder.{x}"), QFormat.parse(decoder[x])) for x in "wb"}
