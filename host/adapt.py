"""``python -m host.adapt --artifact A --like B --out C``: a network in another one's formats.

A bitstream takes networks of one shape, number formats included; a retrained network's export may
have chosen others. This writes network A with the formats of B, which the bitstream was built for:
every coefficient rounded (half to even) and saturated to B's. C is an artifact like any other, with
a reference of its own; evaluate it with ``python -m quant.evaluate --artifact C``.
"""

import argparse
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from golden.base import cli
from quant.integer import artifact, reference
from quant.integer.artifact import Artifact, ArtifactError, Layer
from golden.base.qformat import QFormat
from quant.integer.head_tensors import TENSORS


def convert(raw: np.ndarray, old: QFormat, new: QFormat) -> tuple[np.ndarray, int]:
    """Raw integers of format ``new``, half to even, and how many of them are saturated."""
    drop = old.f_bits - new.f_bits
    moved = reference.round_half_even(raw, drop) if drop > 0 else raw << -drop
    return reference.saturate(moved, new)


def adapt(art: Artifact, like: Artifact) -> tuple[Artifact, dict[str, int]]:
    """``art`` in the formats of ``like``, and the number of saturated elements by tensor.

    Raises :class:`ArtifactError` naming what of the shape or the options is not equal.
    """
    for what in ("n_classes", "inputs", "outputs", "length", "vocab", "act", "residual", "rounding",
                 "sampling", "random", "H", "n"):
        if getattr(art, what) != getattr(like, what):
            raise ArtifactError(f"{what} is {getattr(art, what)}, of the other network "
                                f"{getattr(like, what)}: no formats can make up for that")
    if len(art.layers) != len(like.layers):
        raise ArtifactError(f"{len(art.layers)} layers, the other network has {len(like.layers)}")
    saturated = {}

    def moved(name: str, raw: np.ndarray, old: QFormat | None, new: QFormat | None) -> np.ndarray:
        if not raw.size or old == new:
            return raw
        kept, count = convert(raw, old, new)
        saturated.update({name: count} if count else {})
        return kept

    layers = []
    for number, (layer, other) in enumerate(zip(art.layers, like.layers)):
        tensors = {f.name: moved(f"layer {number}, {f.name}", getattr(layer, f.name),
                                 *(getattr(one.fmt, Layer.FORMAT_OF[f.name])
                                   for one in (layer, other)))
                   for f in fields(Layer) if f.name in Layer.FORMAT_OF}
        # a factor of 2**shift on integers: W's format may not move
        if layer.fmt.w.f_bits != other.fmt.w.f_bits:
            raise ArtifactError(f"layer {number}: w is {layer.fmt.w}, of the other network "
                                f"{other.fmt.w}")
        layers.append(replace(layer, fmt=other.fmt, **tensors))
    ends = {name: moved(name, getattr(art, name), old, new) for name, old, new in (
        ("enc_w", art.edge.enc_w if not art.vocab else art.x_format,
         like.edge.enc_w if not art.vocab else like.x_format),
        ("enc_b", art.edge.enc_b, like.edge.enc_b), ("dec_w", art.edge.dec_w, like.edge.dec_w),
        ("dec_b", art.edge.dec_b, like.edge.dec_b))}
    head = art.head and replace(art.head, fmt=like.head.fmt, **{
        name: moved(f"head, {name}", getattr(art.head, name), getattr(art.head.fmt, name),
                    getattr(like.head.fmt, name)) for name in TENSORS})
    return replace(art, edge=like.edge, layers=tuple(layers), head=head, **ends).check(), saturated


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m host.adapt",
                                     description=__doc__.split("\n\n")[1])
    for name, text in (("artifact", "the network"), ("like", "the one with the formats to have"),
                       ("out", "folder to write")):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="DIR", help=text)
    args = parser.parse_args(argv)
    return cli.code("host.adapt", lambda: make(args))


def make(args: argparse.Namespace) -> None:
    """Write what the options say."""
    made, saturated = adapt(artifact.load(args.artifact), artifact.load(args.like))
    artifact.save(made, args.out)
    counts = ", ".join(f"{count} of {name}" for name, count in saturated.items())
    print(f"{args.out}: {artifact.digest(made)}; saturated: {counts or 'nothing'}")


if __name__ == "__main__":
    sys.exit(main())
