"""How well a network's integer form agrees with its float one: ``python -m quant.agreement``.

``--checkpoint FILE`` (several, each a file or a shipped task's name) exports each network in memory
and runs some sequences of its task through the golden network, in float64 and as it is (an imported
one with its dense DPLR layers), and through the integers, both with the artifact's own random
words as uniform draws. Per layer it prints

* ``p error``: root mean square of the difference of the output sampler's probability, in [0, 1],
  when the float layer is given the integer layer's input spikes: what the layer's own arithmetic
  costs;
* ``spikes``: the share of input and output spikes that differ when both networks run freely. One
  early difference changes everything behind it, so this grows with depth;
* ``other draws``: the same share between two float runs with different draws, the scale of the
  former; and for the network how often the classes agree, and the accuracies.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("quant.agreement")

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from golden import checkpoint
from golden.base import cli
from golden.base.files import write_json
from golden.base.options import add_data_dir, add_task, positive
from golden.training.batches import batch_of
from golden.checkpoint import Checkpoint
from golden.tasks import Split, spec
from quant import prepare
from quant.evaluate import seed_number
from quant.formats import QuantConfig
from quant.integer.lfsr import SEED
from quant.integer.program import Artifact, Program
from quant.lower import diagonalise
from quant.lower.passes import fold
from quant.lower.steps import check
from quant.tune import convert
from quant.tune.draws import LfsrDraws
from quant.tune.fit import ExportError, fit
from quant.tune.qat import QuantNetwork


@dataclass(frozen=True)
class Run:
    """A network's spikes on B sequences: per layer (B, L, H) s_in and s_out, and classes (B,)."""

    s_in: list[torch.Tensor]
    s_out: list[torch.Tensor]
    labels: torch.Tensor


def _given_draws(art: Artifact, seed: int, shape) -> list[torch.Tensor]:
    """The artifact's draws as ``golden.model.network.Network.trace`` takes them, (B, L, H) each."""
    B, L, H = shape
    draws, random = LfsrDraws(art, seed), art.random
    return [torch.from_numpy((op.words(f_bits, draws.draws(L)) + 0.5 * random.centred)
                             * 2.0 ** -random.k).expand(B, L, H)
            for _, (op, f_bits) in sorted(draws.samplers.items())]


@torch.no_grad()
def run_float(net: torch.nn.Module, folded: Program, art: Artifact, v: torch.Tensor,
              lengths: torch.Tensor | None, seed: int) -> Run:
    """The golden network in float64 with an artifact's draws.

    Of family paper the folded network in real numbers runs, which takes given draws
    and equals the golden one draw for draw; of family released the golden network itself.
    """
    if net.cfg.family == "released":
        x = net.encoder(v.T.reshape(-1), torch.float64).reshape(-1, v.shape[1], len(v))
        x = x.permute(2, 1, 0)
        records, y = net.trace(x, _given_draws(art, seed, x.shape), lengths)
        steps = torch.arange(v.shape[1])[:, None]
        live = torch.ones(len(v), v.shape[1], 1, dtype=y.dtype) if lengths is None else (
            steps < lengths).T[..., None].to(y.dtype)
        logits = net.decoder((y * live).sum(1) / live.sum(1))
    else:
        records = []
        logits = QuantNetwork(folded)(v, lengths, "recurrence", LfsrDraws(art, seed), records)
    return Run([r["s_in"] for r in records], [r["s_out"] for r in records], logits.argmax(1))


@torch.no_grad()
def probability(found: Checkpoint, j: int, s: torch.Tensor) -> torch.Tensor:
    """p (B, L, H) of the golden layer's output sampler for input spikes s (B, L, H), clamped."""
    net, (B, L, H) = found.network, s.shape
    block, s = net.blocks[j], s.permute(2, 1, 0).reshape(H, -1)
    y = block.ssm.convolve(s.view(H, L, 1, B)).reshape(H, -1)
    y = F.gelu(y) if net.cfg.gelu_before_sampler else y
    p = (y * block.out.a[:, None] if net.cfg.family == "released" else y) + block.out.b[:, None]
    return p.reshape(H, L, B).permute(2, 1, 0).clamp(0, 1)


@torch.no_grad()
def compare(found: Checkpoint, folded: Program, art: Artifact, split: Split) -> dict:
    """The measures of the module's text for all sequences of ``split``; plain numbers.

    ``found`` is a float64 network in evaluation mode, ``folded`` the same in real numbers with
    diagonal layers, ``art`` its integers.
    """
    v, lengths, labels = batch_of(split, np.arange(len(split)), found.task)
    v = v if art.vocab else v.double()
    live = (torch.ones(v.shape, dtype=bool) if lengths is None
            else torch.arange(v.shape[1]) < lengths[:, None])
    record: list[dict] = []
    integers = QuantNetwork(convert.to_program(art))
    logits = integers(v, lengths, "recurrence", LfsrDraws(art), record)
    ours, other = (run_float(found.network, folded, art, v, lengths, seed)
                   for seed in (art.seed, seed_number(art, 1)))

    def differ(one, two):
        return float((one != two)[live].double().mean())

    layers = []
    for j, seen in enumerate(record):
        p = seen["p_out" if "p_out" in seen else "y"].clamp(0, 1)
        error = (probability(found, j, seen["s_in"]) - p)[live]
        layers.append({"p_error": float(error.square().mean().sqrt()),
                       "s_in": differ(seen["s_in"], ours.s_in[j]),
                       "s_out": differ(seen["s_out"], ours.s_out[j]),
                       "other_in": differ(ours.s_in[j], other.s_in[j]),
                       "other_out": differ(ours.s_out[j], other.s_out[j])})
    classes = logits.argmax(1)

    def share(one, two):
        return float((one == two).double().mean())

    return {"n": len(v), "layers": layers, "same_class": share(classes, ours.labels),
            "same_class_other_draws": share(ours.labels, other.labels),
            "accuracy_float": share(ours.labels, labels),
            "accuracy_integer": share(classes, labels)}


def agreement(found: Checkpoint, config: QuantConfig, data_dir=None, n: int = 16,
              count: dict[str, int] = prepare.SEQUENCES, modes: int | None = None) -> dict:
    """Export in memory as ``quant.export`` does, without fine-tuning, and :func:`compare`.

    Norms and ranges come from the training split, the comparison from the first n test sequences.
    """
    task, train, test = found.task, *(found.task.load(name, data_dir) for name in ("train", "test"))
    if found.network.cfg.family not in ("paper", "released"):
        raise ExportError(f"the network is of family {found.network.cfg.family}; equal draws are "
                          f"for probabilistic spikes, family paper or released")
    check(found.network)
    found = prepare.reestimated(found, train, count["norms"])
    net, diagonal, info = found.network, found.network, {}
    if diagonalise.needed(net):
        diagonal, reports = diagonalise.network(net, task.length, modes)
        info = {"diagonal": [layer.report() for layer in reports]}
    folded = fold(diagonal)
    seen = prepare.measure(folded, train, task, count["ranges"])
    art = convert.to_artifact(QuantNetwork(fit(folded, seen, config, task.sample_format)),
                              spec(task), task.length, SEED, {})
    net.double().eval()
    return compare(found, folded, art, test.take(np.arange(min(n, len(test))))) | info


def show(results: dict[str, dict]) -> None:
    """A table, one row per layer of every network."""
    from rich.table import Table
    console = cli.console()
    table = Table(title="integers against float64, equal draws")
    for name in ("network", "layer", "p error", "spikes in", "spikes out", "other draws: in",
                 "out", "same class", "other draws", "float, integer"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for name, found in results.items():
        for j, row in enumerate(found["layers"]):
            last = j + 1 == len(found["layers"])
            table.add_row(
                name if not j else "", str(j), f"{row['p_error']:.5f}",
                *(f"{100 * row[k]:.2f} %" for k in ("s_in", "s_out", "other_in", "other_out")),
                *((f"{100 * found['same_class']:.1f} %",
                   f"{100 * found['same_class_other_draws']:.1f} %",
                   f"{100 * found['accuracy_float']:.1f}, {100 * found['accuracy_integer']:.1f} %")
                  if last else ()), end_section=last)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser("quant.agreement", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", action="append", required=True,
                        help="a file, or a task whose network is shipped; may be repeated")
    add_task(parser, required=False, default="each checkpoint's")
    parser.add_argument("-n", type=positive, default=16, help="test sequences (default 16)")
    parser.add_argument("--modes", type=positive,
                        help="modes of a fitted neuron; see quant.diagonalise")
    add_data_dir(parser)
    parser.add_argument("--json", type=Path, help="file for the results")
    prepare.add_width_options(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config, results = prepare.config_of(args), {}
    for source in args.checkpoint:
        results[Path(source).stem] = agreement(checkpoint.load(source, task=args.task or ""),
                                               config, args.data_dir, args.n, modes=args.modes)
    show(results)
    if args.json:
        write_json(args.json, results)


if __name__ == "__main__":
    cli.run("quant.agreement", main)
