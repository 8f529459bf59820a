"""From a trained checkpoint to the artifact: ``python -m quant.export --task psmnist``.

Re-estimates the batch norms and measures the ranges of the states on the training split, folds,
fits number formats, quantises, checks, and writes the artifact with golden vectors of the first
test sequences. Same inputs, same integers.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("quant.export")

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from golden import checkpoint, tasks
from golden.base import cli
from golden.base.options import ARTIFACTS, add_data_dir, add_net, add_task, natural
from golden.batches import accuracy, batch_of, longest, right
from golden.checkpoint import Checkpoint
from golden.memory import batch_for, require
from quant import diagonalise, finetune, origin
from quant.integer import head, vectors
from quant.tune import tables
from quant.tune.fit import ExportError
from quant.formats import QUANT_CONFIGS, ROUNDINGS, QuantConfig, shipped_config
from quant.integer.sampling import FORMS
from quant.systems import System, system_of

SEED = 0xACE1                   # default master seed of the random words
SEQUENCES = {"norms": 1024, "ranges": 128}   # of the training split
WIDTHS = {"coef_bits": "bits of A_bar", "g_bits": "bits of g", "state_bits": "bits of a state",
          "state_i_bits": "its integer bits; default: fitted to the seen range",
          "weight_bits": "bits of a mixer weight", "p_bits": "fraction bits of p",
          "decoder_bits": "bits of a decoder weight", "input_bits": "bits of a real SSM input",
          "factor_bits": "bits of a gate's factors", "table_bits": "bits of a gate's table index"}


@dataclass(frozen=True)
class Prepared:
    """A folded network with what was measured on the training split."""

    folded: object      # as the kind of network has them, see quant.systems
    seen: object


def reestimate(found: Checkpoint, train: tasks.Split, count: int) -> None:
    """Batch-norm statistics of the network from ``count`` training sequences, in place."""
    torch.manual_seed(0)
    chosen = np.sort(np.random.default_rng(0).permutation(len(train))[:count])
    size = batch_for(64, train.lengths, found.network.cfg.d_model)
    system_of(found.network.cfg).reestimate(
        found.network, [batch_of(train, chosen[k:k + size], found.task)
                        for k in range(0, len(chosen), size)])


def prepare(found: Checkpoint, train: tasks.Split, count: dict[str, int] = SEQUENCES) -> Prepared:
    """Re-estimate, fold, and measure the states' ranges; deterministic."""
    system = system_of(found.network.cfg)
    system.check_config(found.network.cfg)
    reestimate(found, train, count["norms"])
    folded = system.fold(found.network)
    return Prepared(folded, measure(system, folded, train, found.task, count["ranges"]))


def measure(system: System, folded, train: tasks.Split, task: tasks.Task, count: int):
    """Ranges of the states over ``count`` sequences of the training split."""
    torch.manual_seed(0)
    chosen = np.random.default_rng(1).permutation(len(train))[:count]
    by_length = chosen[np.argsort(longest(train.lengths[chosen]), kind="stable")]
    return system.seen(folded, train, task, by_length)


def qat_accuracy(net: torch.nn.Module, split: tasks.Split, task: tasks.Task) -> float:
    """Of the convolution form, with PyTorch's draws."""
    size = batch_for(100, split.lengths, net.decoder.weight.shape[1])
    return float(right(net, split, task, size).mean())


def evaluate(found: Checkpoint, net: torch.nn.Module, art,
             test: tasks.Split) -> tuple[dict, list | None]:
    """Accuracies (0 to 1) of the three networks, and the integer one's saturations per layer.

    With a head also its saturations, of means and hidden values.
    """
    if not len(test):
        return {"n": 0}, None
    torch.manual_seed(0)
    out = {"n": len(test), "float": accuracy(found.network, test, found.task),
           "qat": qat_accuracy(net.float().eval(), test, found.task)}
    system = system_of(found.network.cfg)
    single = test.sequences()
    batch = system.integers(art).run(single.values, single.lengths)
    said = head.answers(art, batch.logits, single.lengths)
    out["integer"] = float((said.labels == test.labels).mean())
    if art.head:
        out["head_saturations"] = dict(zip(("mean", "hidden"), said.saturations.sum(0).tolist()))
    return out, system.saturations(batch)


def write(art, save, golden: vectors.Vectors | None, out: Path) -> None:
    """Artifact and vectors, both or nothing: a new folder takes the old one's place by renaming."""
    try:
        _replace(art, save, golden, Path(out))
    except OSError as error:
        raise ExportError(f"cannot write the artifact: {error}") from None


def _replace(art, save, golden: vectors.Vectors | None, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists() and not (out.is_dir() and ((out / "manifest.json").exists()
                                               or not any(out.iterdir()))):
        raise ExportError(f"{out} exists and is no artifact; give another --out")
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        save(art, fresh)
        if golden is not None:
            vectors.save(golden, fresh / "vectors.npz")
        fresh.chmod(0o755)
        old = fresh.with_name(fresh.name + ".old")
        if out.exists():
            out.rename(old)
        fresh.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def export(found: Checkpoint, out: Path, config: QuantConfig = QuantConfig(), data_dir=None,
           n: int = 1000, n_vectors: int = 4, seed: int = SEED, qat: Path | None = None,
           source: str = "", count: dict[str, int] = SEQUENCES, say=lambda text: None,
           sampling: str | None = None, made_from: dict | None = None):
    """The whole way; see the module's text. ``say`` is told what is being done.

    n : test sequences for the accuracies, 0 for none; n_vectors : sequences in vectors.npz, 0 for
    no file; qat : fine-tuned weights of ``quant.finetune`` or None; source : name of the
    checkpoint, for the manifest; sampling : form of the samplers, None: the one it was trained
    with; made_from : of ``quant.origin``, for the manifest. Raises ``golden.base.cli.UserError``
    for everything that does not fit.
    """
    start, task, system = time.perf_counter(), found.task, system_of(found.network.cfg)
    finetune.choose_sampling(found, sampling)
    train = task.load("train", data_dir)
    cfg = found.network.cfg
    require("a forward pass", cfg, batch_for(200, train.lengths, cfg.d_model), train.lengths,
            torch.float32, training=False)
    found = diagonalise.ready(found, train)
    say(f"batch norms and ranges on {min(count['ranges'], len(train))} training sequences")
    if qat is None:
        prepared = prepare(found, train, count)
        net = system.model(prepared.folded, system.fit(prepared.folded, prepared.seen, config,
                                                       task.sample_format, task.length))
    else:
        net = finetune.load(qat, found)     # in the file's form of sampling
        finetune.choose_sampling(found, sampling)
        net.sampling = found.network.cfg.sampling
        reestimate(found, train, count["norms"])
    art = system.to_artifact(net, tasks.spec(task), task.length, seed, {})
    seen = (prepared.seen if qat is None
            else measure(system, system.to_folded(art), train, task, count["ranges"]))
    system.check_seen(seen, art, config.margin)
    rows, states = system.constants(art), system.report(art, seen)
    scores, saturations = {"n": 0}, None
    if system.vectors is None:      # there is no hardware that they could test
        n_vectors = 0
    test = task.load("test", data_dir) if n or n_vectors else None
    if n:
        say(f"accuracies on {min(n, len(test))} test sequences")
        scores, saturations = evaluate(found, net, art, test.take(np.arange(min(n, len(test)))))
    info = {"permutation": getattr(task, "permutation", None), "accuracy": scores,
            "ranges": states, "tensors": rows, "saturations": saturations,
            "config": asdict(config), "calibration": count | {"split": "train"},
            "checkpoint": {"name": source, "state_sha256": finetune.state_digest(found.network),
                           "fine_tuned": qat is not None},
            "versions": origin.versions()}
    if made_from:
        info["origin"] = made_from
    if "diagonal" in found.info:
        info["diagonal"] = found.info["diagonal"]
    art = replace(art, info=info)
    golden = None
    if n_vectors:
        say(f"golden vectors of {min(n_vectors, len(test))} test sequences")
        part = test.take(np.arange(min(n_vectors, len(test)))).sequences()
        golden = system.vectors(art, part.values, part.lengths,
                                command=f"python -m quant.export --task {art.task}")
    write(art, system.save, golden, out)
    tables.show(art.task, rows, states, saturations, scores, time.perf_counter() - start)
    return art


def add_width_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose a :class:`quant.formats.QuantConfig`; read them with ``config_of``."""
    parser.add_argument("--config", choices=QUANT_CONFIGS, help="widths to start from; the export "
                        "of a shipped network: those it is shipped in, else default")
    for name, what in WIDTHS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=what)
    parser.add_argument("--margin", type=float, help="times the seen range that formats must hold "
                        "(default 1.5); fine-tuning moves ranges, so give it more there")
    parser.add_argument("--rounding", choices=ROUNDINGS, help="of the state")
    parser.add_argument("--sampling", choices=FORMS,
                        help="how spikes are drawn; default: as the network was trained")


def config_of(args, name: str = "") -> QuantConfig:
    """The widths of parsed arguments; ``FormatError`` for one out of range.

    Without ``--config`` they start from those of the network shipped as ``name``.
    """
    given = {key: getattr(args, key) for key in (*WIDTHS, "margin", "rounding")}
    config = QUANT_CONFIGS[args.config or shipped_config(name)]
    return replace(config, **{k: v for k, v in given.items() if v is not None})


def given(args: argparse.Namespace) -> dict:
    """The options that decide the integers, as far as they were given, by name."""
    found = {name: getattr(args, name) for name in ("config", *WIDTHS, "margin", "rounding",
                                                    "sampling")}
    found |= {"seed": None if args.seed == SEED else args.seed, "no_qat": args.no_qat or None}
    return {name: value for name, value in found.items() if value is not None}


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("quant.export", description=__doc__.splitlines()[0])
    add_task(parser, required=False, default="the checkpoint's")
    add_net(parser)
    parser.add_argument("--checkpoint", type=Path, help="a trained network; default: the shipped")
    parser.add_argument("--qat", type=Path, help="fine-tuned weights of quant.finetune; default: "
                        "the ones shipped with the shipped checkpoint, if there are any")
    parser.add_argument("--no-qat", action="store_true", help="leave shipped fine-tuning out")
    parser.add_argument("--out", type=Path, help="folder; default build/artifacts/<task>[.<net>]")
    add_data_dir(parser)
    parser.add_argument("-n", type=natural, default=1000,
                        help="test sequences for the accuracies (default 1000, 0: none)")
    parser.add_argument("--vectors", type=natural, default=4,
                        help="golden vectors of the first N test sequences (default 4, 0: none)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the samplers, default {SEED}")
    add_width_options(parser)
    return parser


def main() -> None:
    args = _arguments().parse_args()
    torch.set_num_threads(1)        # float sums depend on it, and with them a rounding or two
    if not (args.task or args.checkpoint):
        raise ExportError("what to export? Give --task, or --checkpoint FILE")
    found = checkpoint.load(args.checkpoint or args.task, args.net)
    task = tasks.make_task(args.task) if args.task else found.task
    if tasks.spec(found.task) != tasks.spec(task):
        raise ExportError(f"{args.checkpoint} is a network for task {tasks.spec(found.task)}, "
                          f"not {args.task}")
    shipped = checkpoint.shipped(tasks.spec(task), args.net)
    qat = args.qat
    if qat is None and not args.checkpoint and not args.no_qat:
        qat = origin.tuned_of(shipped)
    made_from = origin.of(args.checkpoint or shipped, qat, given(args))
    if args.qat:
        made_from["network"] = None     # the user's own, as another checkpoint is
    out = args.out or ARTIFACTS / tasks.slug(tasks.spec(task), args.net)
    config = config_of(args, "" if args.checkpoint else shipped.stem)
    export(found, out, config, args.data_dir, args.n, args.vectors, args.seed, qat,
           (args.checkpoint or shipped).name,
           say=lambda text: print(f"{text} ...", file=sys.stderr), sampling=args.sampling,
           made_from=made_from)


if __name__ == "__main__":
    cli.run("quant.export", main)
