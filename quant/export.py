"""From a trained checkpoint to the artifact: ``python -m quant.export --task psmnist``.

Re-estimates the batch norms and measures the ranges of the states on the training split, folds,
fits number formats, quantises, checks, and writes the artifact with golden vectors of the first
test sequences. Same inputs, same integers.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("quant.export")

import argparse
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from golden import checkpoint, tasks
from golden.base import cli
from golden.base.options import add_build, add_data_dir, add_net, add_task, artifact_of, natural
from golden.training.batches import accuracy, right
from golden.checkpoint import Checkpoint
from golden.memory import batch_for, require
from quant import current, hardware, origin, prepare, tuned
from quant.formats import QuantConfig
from quant.integer import artifact, head, lfsr, reference, vectors
from quant.integer.artifact import Artifact, ArtifactError
from quant.integer.lfsr import SEED
from quant.integer.network import IntegerNetwork
from quant.tune import convert, ranges, tables
from quant.tune.blocks import in_blocks
from quant.tune.fit import ExportError, one_format
from quant.tune.qat import QuantNetwork


def evaluate(found: Checkpoint, net: torch.nn.Module, art: Artifact,
             test: tasks.Split) -> tuple[dict, dict | None]:
    """Accuracies (0 to 1) of the three networks, and the integer one's saturations.

    Those by a value's name, per layer and then the encoder's; a head's, of means and hidden values,
    are with the accuracies. The model on its grids runs as a convolution with PyTorch's draws.
    """
    if not len(test):
        return {"n": 0}, None
    torch.manual_seed(0)
    size = batch_for(100, test.lengths, art.H)
    out = {"n": len(test), "float": accuracy(found.network, test, found.task),
           "qat": float(right(net.float().eval(), test, found.task, size).mean())}
    single = test.sequences()
    batch = IntegerNetwork(art).run(single.values, single.lengths)
    said = head.answers(art, batch.logits, single.lengths)
    out["integer"] = float((said.labels == test.labels).mean())
    if art.head:
        out["head_saturations"] = dict(zip(("mean", "hidden"), said.saturations.sum(0).tolist()))
    return out, {name: over.sum(0).tolist() for name, over in batch.over.items()}


def write(art: Artifact, golden: vectors.Vectors | None, out: Path) -> None:
    """Artifact and vectors in place of those of before: whoever looks finds the old or the new."""
    out = Path(out)
    try:
        if out.exists() and not (out.is_dir() and ((out / "manifest.json").exists()
                                                   or not any(out.iterdir()))):
            raise ExportError(f"{out} exists and is not an artifact; give another --out")
        artifact.save(art, out, lambda new: golden and vectors.save(golden, new / artifact.VECTORS))
    except OSError as error:
        raise ExportError(f"cannot write the artifact: {error.strerror or error} ({out}); make "
                          f"room, or give another --out") from None


def export(found: Checkpoint, out: Path, config: QuantConfig = QuantConfig(), data_dir=None,
           n: int = 1000, n_vectors: int = 4, seed: int = SEED, qat: Path | None = None,
           source: str = "", count: dict[str, int] = prepare.SEQUENCES, say=lambda text: None,
           sampling: str | None = None, made_from: dict | None = None, for_hardware: bool = False,
           block: int | None = None):
    """The whole way; see the module's text. ``say`` is told what is being done.

    n : test sequences for the accuracies, 0 for none; n_vectors : sequences in vectors.npz, 0 for
    no file; qat : fine-tuned weights of ``quant.finetune`` or None; source : name of the
    checkpoint, for the manifest; seed : see ``quant.integer.lfsr.master_seed``; sampling : form of
    the samplers, None: the one it was trained with; made_from : of ``quant.origin``, for the
    manifest; for_hardware : refuse what the RTL lacks; block : steps per update of the states of a
    fine-tuned network, None: those of its file. Raises ``golden.base.cli.UserError`` for
    everything that does not fit.
    """
    start, task = time.perf_counter(), found.task
    found = tuned.in_form(found, sampling)
    train, cfg = task.load("train", data_dir), found.network.cfg
    require("a forward pass", cfg, batch_for(200, train.lengths, cfg.d_model), train.lengths,
            torch.float32, training=False)
    found = prepare.ready(found, train)
    say(f"batch norms and ranges on {min(count['ranges'], len(train))} training sequences")
    if qat is None:
        prepared = prepare.prepare(found, train, count)
        found, net = prepared.found, prepared.model(config)
    else:
        net = tuned.load(qat, found)        # in the file's form of sampling
        if config.one_format and not one_format(net.program):
            raise ExportError(f"{qat} has other formats in other layers; fine-tune it with "
                              f"--one-format, or leave that out")
        if block not in (None, net.program.block):
            net = QuantNetwork(in_blocks(convert.to_program(net.integers()), block))
        net.sampling = sampling or net.sampling
        found = prepare.reestimated(tuned.in_form(found, net.sampling or None), train,
                                    count["norms"])
    art = convert.to_artifact(net, tasks.spec(task), task.length, SEED, {})
    art = replace(art, seed=lfsr.master_seed(art.random, seed),
                  permutation=getattr(task, "permutation", None))
    if for_hardware:
        say(hardware.check(art))
    seen = prepared.seen if qat is None else prepare.measure(
        convert.without_formats(convert.to_program(art)), train, task, count["ranges"])
    ranges.check_seen(seen, art, config.margin)
    rows, states = tables.constants(art), ranges.report(art, seen)
    scores, saturations, golden = {"n": 0}, None, None
    try:
        reference.traced(art)
    except ArtifactError as error:
        say(f"no golden vectors: {error}")
        n_vectors = 0
    test = task.load("test", data_dir) if n or n_vectors else None
    if n:
        say(f"accuracies on {min(n, len(test))} test sequences")
        scores, saturations = evaluate(found, net, art, test.take(np.arange(min(n, len(test)))))
    info = {"accuracy": scores, "ranges": states, "tensors": rows, "saturations": saturations,
            "config": asdict(config), "calibration": count | {"split": "train"},
            "checkpoint": {"name": source, "state_sha256": tuned.state_digest(found.network),
                           "fine_tuned": qat is not None},
            "versions": origin.versions()}
    if made_from:
        info["origin"] = made_from
    if "diagonal" in found.info:
        info["diagonal"] = found.info["diagonal"]
    art = replace(art, info=info)
    if n_vectors:
        say(f"golden vectors of {min(n_vectors, len(test))} test sequences")
        part = test.take(np.arange(min(n_vectors, len(test)))).sequences()
        golden = vectors.make(art, part.values, part.lengths,
                              command=f"python -m quant.export --task {art.task}")
    write(art, golden, out)
    tables.show(art.task, rows, states, saturations, scores, time.perf_counter() - start)
    return art


def given(args: argparse.Namespace) -> dict:
    """The options that decide the integers, as far as they were given, by name."""
    found = {name: getattr(args, name) for name in origin.OPTIONS}
    return {name: value for name, value in found.items()
            if value is not None and (name, value) not in (("seed", SEED), ("no_qat", False))}


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("quant.export", description=__doc__.splitlines()[0])
    add_task(parser, required=False, default="the checkpoint's")
    add_net(parser)
    parser.add_argument("--checkpoint", type=Path,
                        help="a trained network; default: the one shipped")
    parser.add_argument("--qat", type=Path, help="fine-tuned weights of quant.finetune; default: "
                        "those shipped with the checkpoint, if there are any")
    parser.add_argument("--no-qat", action="store_true",
                        help="do not use the fine-tuned weights that are shipped")
    parser.add_argument("--out", type=Path, help="folder; default build/artifacts/<task>[.<net>]")
    add_build(parser)
    add_data_dir(parser)
    parser.add_argument("-n", type=natural, default=1000,
                        help="test sequences for the accuracies (default 1000, 0: none)")
    parser.add_argument("--vectors", type=natural, default=4,
                        help="golden vectors of the first N test sequences (default 4, 0: none)")
    parser.add_argument("--seed", type=int, default=SEED,
                        help=f"seed of the samplers; default {SEED}")
    parser.add_argument("--hardware", action="store_true",
                        help="refuse a network that the RTL cannot have; nothing is written")
    parser.add_argument("--keep", action="store_true", help="of options that are not given take "
                        "those with which the artifact that is there was exported")
    prepare.add_width_options(parser)
    return parser


def _parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options; with ``--keep`` behind those of the export before, so that new ones win."""
    args = parser.parse_args()
    if not args.keep:
        return args
    if not args.task:
        raise ExportError("--keep goes on with what is there for a task; give --task")
    out = args.out or artifact_of(tasks.spec(tasks.make_task(args.task)), args.net, args.sampling)
    try:
        kept = current.kept(out)
    except cli.UserError as error:      # of a damaged folder, which this export replaces
        print(f"{error}: its options are not kept", file=sys.stderr)
        kept = []
    return parser.parse_args([*kept, *sys.argv[1:]])


def main() -> None:
    args = _parsed(_arguments())
    torch.set_num_threads(1)        # float sums depend on it, and with them a rounding or two
    if not (args.task or args.checkpoint):
        raise ExportError("what to export? Give --task, or --checkpoint FILE")
    found = checkpoint.load(args.checkpoint or args.task, args.net, args.task or "")
    checkpoint.of_task(found, args.task, args.checkpoint)
    task = found.task
    shipped = checkpoint.shipped(tasks.spec(task), args.net)
    qat = args.qat
    if qat is None and not args.checkpoint and not args.no_qat:
        qat = origin.tuned_of(shipped)
    out = args.out or artifact_of(tasks.spec(task), args.net, args.sampling)
    made_from = origin.of(args.checkpoint or shipped, qat, given(args), out)
    config = prepare.config_of(args, "" if args.checkpoint else shipped.stem)
    export(found, out, config, args.data_dir, args.n, args.vectors, args.seed, qat,
           (args.checkpoint or shipped).name,
           say=lambda text: print(f"{text} ...", file=sys.stderr), sampling=args.sampling,
           made_from=made_from, for_hardware=args.hardware, block=args.block)


if __name__ == "__main__":
    cli.run("quant.export", main)
