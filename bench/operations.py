"""The tables and listings of docs/operations.md: ``python -m bench.operations --write``.

What an operation computes and which format it makes is its docstring and that of its ``format``;
where its sides live is read off the dictionaries in which they are found.
"""

import argparse
import inspect
import re
import sys
from pathlib import Path

import numpy as np
import torch

from golden.base.files import write_atomic
from golden.base.options import ROOT
from golden.base.qformat import QFormat
from golden.model.config import LIFConfig, PaperConfig, ReleasedConfig, StreamConfig
from golden.model.network import Network
from quant.formats import (BIT, SCALE, SIGMOID_I, THRESHOLD, EdgeFormats, LayerFormats,
                           QuantConfig)
from quant.integer import membrane, memory, ops
from quant.integer.record import KINDS
from quant.integer.operation import Operation, Tensor
from quant.lower.steps import STEPS, WHY_NOT
from quant.tune.fit import Fitting
from quant.tune.qat import MODULES
from rtl.layer.chains import CELLS
from sim.results import markdown

PAGE = ROOT / "docs" / "operations.md"
EXAMPLE = ROOT / "docs" / "examples"
SHAPE = {"n_classes": 2, "n_blocks": 1, "d_model": 4, "d_state": 4}
# Networks that have every step with an operation.
NETWORKS = (PaperConfig(**SHAPE), PaperConfig(**SHAPE, residual="plain", gelu_before_sampler=True),
            ReleasedConfig(**SHAPE, init="s4d_lin"), StreamConfig(**SHAPE),
            StreamConfig(**SHAPE, neuron="gelu", mixer="gsu"), LIFConfig(**SHAPE))
H, N, VOCAB = 128, 8, 257
# Beside the cells of chains, which CELLS has.
ENCODER = (ops.Embed, ops.Scale, ops.Round, ops.Limit, ops.Clamp)
WHOLE = {memory.States: "rtl.layer.state_engine", ops.Mix: "rtl.layer.mixer",
         ops.Ternary: "rtl.layer.ternary"}


def examples() -> dict[type, tuple[Operation, tuple[QFormat, ...]]]:
    """One of each kind in the usual formats, 128 neurons of 8 modes, with those of its inputs."""
    f, e, bits = LayerFormats(), EdgeFormats(), QuantConfig().table_bits

    def t(fmt, *shape):
        return Tensor(np.zeros(shape or H, np.int64), fmt)

    index, values = QFormat(SIGMOID_I, bits - SIGMOID_I, True), QFormat(1, bits, False)
    made = [
        (ops.Embed("v -> x", t(f.p, VOCAB, H)), QFormat(VOCAB.bit_length(), 0, False)),
        (ops.Scale("x -> p_in", t(f.alpha), t(f.beta)), f.x),
        (memory.Fire("p_in -> s_in"), f.alpha * f.x),
        (memory.States("s_in -> y", *(t(q, H, N) for q in (f.a_bar, f.a_bar, f.g, f.g)),
                       t(f.drive), f.h), BIT),
        (membrane.Integrate("y -> s_out", t(QFormat(0, f.a_bar.width, False)),
                            t(QFormat(2, f.h.f_bits, True), 1), f.h), f.y(N)),
        (ops.Step("y -> s_out"), f.y(N)), (ops.Ternary("a -> s_out", t(THRESHOLD, 1)), f.x),
        (ops.Mix("s_out -> z", t(f.w, H, H), t(f.bias), t(f.shift)), BIT),
        (ops.Curve("z -> z"), f.z(H)),
        (ops.Table("gate -> gate", "sigmoid", index, t(values, 1 << bits)), index),
        (ops.Product("n gate -> z"), SCALE, values), (ops.Add("z x -> z"), f.z(H), f.p),
        (ops.Round("x -> x", f.p.f_bits), e.enc_w * e.sample), (ops.Limit("z -> x", f.x), f.z(H)),
        (ops.Clamp("z -> x"), f.z(H))]
    return {type(op): (op, tuple(inputs)) for op, *inputs in made}


def in_page(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("\\|", "|").replace("|", "\\|")


def computed() -> str:
    """What each operation computes, and the format of its result."""
    rows, found = [], examples()
    for kind in sorted(KINDS.values(), key=list(found).index):
        op, inputs = found[kind]
        first, own = inspect.getdoc(kind).split("\n\n")[0], vars(op).items()
        formats = {name: getattr(value, "fmt", value) for name, value in own
                   if isinstance(value, (Tensor, QFormat))} | dict(zip(op.reads, inputs))
        rows.append([kind.__name__, in_page(first), in_page(inspect.getdoc(kind.format)),
                     ", ".join(f"{name} {fmt}" for name, fmt in formats.items())
                     + f" → {op.format(*inputs)}"])
    return markdown(["operation", "computes", "format of the result", "for example"], rows)


def lowered() -> dict[type, list[str]]:
    """The float steps that become each kind of operation, by trying them."""
    found = {}
    torch.manual_seed(0)
    for net in map(Network, NETWORKS):
        for _, step in net.steps():
            wiring = f"{' '.join(step.reads)} -> {step.makes[0]}"
            for op in STEPS[type(step.op)](step.op, wiring, net):
                names = found.setdefault(type(op), [])
                names += [name_of(type(step.op))] * (name_of(type(step.op)) not in names)
    return found


def name_of(thing) -> str:
    return f"`{thing.__module__}.{thing.__qualname__}`"


def components(kind: type[Operation]) -> list[str]:
    """Where an operation is hardware."""
    found = ["`rtl.encoder`"] if kind in ENCODER else []
    found += [f"`{WHOLE[kind]}`"] if kind in WHOLE else []
    return found + ([name_of(CELLS[kind])] if kind in CELLS else [])


def sides() -> str:
    """Where each side of an operation lives."""
    rows, steps = [], lowered()
    for kind in sorted(KINDS.values(), key=list(examples()).index):
        rule = Fitting.RULES.get(kind)
        rows.append([
            kind.__name__, ", ".join(sorted(steps.get(kind, ["`quant.lower.passes`"]))),
            name_of(kind),
            f"`{rule.__name__}`" if rule else "none needed", f"`{MODULES[kind].__name__}`",
            ", ".join(components(kind)) or "none yet"])
    return markdown(["operation", "made of", "integers", "rule in `quant.tune.fit.Fitting`",
                     "module in `quant.tune`", "components"], rows)


def float_only() -> str:
    """Steps that have no operation."""
    return markdown(["float step", "what it is"],
                    [[name_of(step), why] for step, why in WHY_NOT.items()])


def listing(name: str) -> str:
    """A file of the worked example."""
    text = (EXAMPLE / name).read_text()
    kind = {".py": "python", ".toml": "toml"}[Path(name).suffix]
    return f"`{name}`, {len(text.splitlines())} lines:\n\n```{kind}\n{text}```"


def size(folder: str) -> str:
    """How long the worked example's sides are together."""
    files = [path for path in sorted((EXAMPLE / folder).glob("*.py"))
             if path.stem in ("step", "operation", "lower", "tune")]
    lines = sum(len(path.read_text().splitlines()) for path in files)
    return f"{len(files)} new files, {lines} lines; no other file changes."


TABLES = {"computed": computed, "sides": sides, "float_only": float_only}
MADE = {"table": lambda name: TABLES[name](), "file": listing, "size": size}


def fill(text: str) -> str:
    """The page with ``<!-- table: NAME -->``, ``file`` or ``size`` ... ``<!-- end -->`` filled."""
    return re.sub(r"<!-- (table|file|size): (\S+) -->\n.*?<!-- end -->",
                  lambda m: f"<!-- {m[1]}: {m[2]} -->\n{MADE[m[1]](m[2])}\n<!-- end -->", text,
                  flags=re.S)


def main() -> int:
    parser = argparse.ArgumentParser("bench.operations", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put them into the page")
    args = parser.parse_args()
    if args.write:
        write_atomic(PAGE, fill(PAGE.read_text()))
    else:
        print("\n\n".join(table() for table in TABLES.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
