"""``python -m quant.evaluate --task T``: accuracy of an artifact's integer network.

Accuracy is a mean over sampler seeds: number 0 is the artifact's own, number j > 0 is
:func:`seed_number`, so that any machine evaluates with the same random words. With ``--votes K``
the class is the arg max of the logits of K runs, each under a seed of its own, summed.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from golden.base import cli, made
from golden.base.cli import console
from golden.base.files import write_json
from golden.base.options import add_artifact, add_data_dir, add_net, add_task, positive
from golden.tasks import inputs_of, make_task, spec, subset_accuracies, subsets_of, whole
from quant import current
from quant.integer import artifact, head, lfsr
from quant.integer.artifact import Artifact, ArtifactError
from quant.integer.compiled import BLOCK
from quant.integer.network import IntegerNetwork
from quant.integer.sampling import FORMS
from quant.integer.synthetic import TASK as SYNTHETIC


def seed_number(art: Artifact, j: int) -> int:
    """Master seed number j: that of the artifact's own ``--seed`` + j, so 0 is ``art.seed``."""
    states = (1 << art.random.width) - 1
    return lfsr.master_seed(art.random, (lfsr.seed_of(art.random, art.seed) - 1 + j) % states + 1)


def evaluate(art: Artifact, split, seeds: int = 1, threads: int | None = None,
             progress=lambda count: None, votes: int = 1,
             subsets: dict[str, np.ndarray] | None = None) -> dict:
    """Run a whole split under each seed; with ``votes`` K > 1 under each K seeds, logits summed.

    Of a network with two inputs the features of each sequence are summed, and the head sees their
    mean over all runs.

    Returns accuracy_mean and accuracy_std (over seeds, n - 1 in the denominator, 0 for one seed),
    accuracies, seeds (each a ``--seed``), master_seeds (what they become), votes, n, spike_rates
    (fired share of the neurons, per layer, over live steps), spike_rates_in (of the input samplers,
    where there are any), saturations (per layer, then residual stream or encoder; all seeds),
    saturations_of (the same by a value's name), with a head head_saturations (means, hidden
    values), seconds. With ``subsets``, bool (n,) by name (``golden.tasks.subsets_of``), also
    ``subsets``: for each accuracy_mean, accuracy_std, accuracies, n.
    ``progress(count)`` is called after ``count`` more sequences.
    """
    start, n, labels = time.perf_counter(), len(split), split.labels
    split = split.sequences()
    numbers = [seed_number(art, j) for j in range(seeds * votes)]
    right, spikes, saturations, over = [], 0, {}, 0
    order = np.argsort(-np.asarray(split.lengths), kind="stable")    # batches of like length
    for first in range(0, len(numbers), votes):
        logits = np.zeros((len(split), art.outputs), np.int64)
        for seed in numbers[first:first + votes]:
            network = IntegerNetwork(art, seed, threads)
            size = BLOCK * network.threads
            for at in range(0, len(split), size):
                part = order[at:at + size]
                longest = int(split.lengths[part].max())
                batch = network.run(split.values[part, :longest], split.lengths[part])
                logits[part] += batch.logits
                spikes = spikes + batch.spikes.sum(0)
                for name, count in batch.over.items():
                    saturations[name] = saturations.get(name, 0) + count.sum(0)
                progress(len(part))
        said = head.answers(art, logits, split.lengths, votes)
        right.append(said.labels == labels)
        over = over + said.saturations.sum(0)
    accuracies = np.mean(right, 1).tolist()
    rates = spikes / (float(np.sum(split.lengths)) * art.H * len(numbers))
    return {"accuracy_mean": float(np.mean(accuracies)),
            "accuracy_std": float(np.std(accuracies, ddof=1)) if seeds > 1 else 0.0,
            "accuracies": accuracies, "votes": votes, "n": n, "master_seeds": numbers,
            "seeds": [lfsr.seed_of(art.random, number) for number in numbers],
            "spike_rates": rates[:, -1].tolist(), "spike_rates_in": rates[:, :-1].ravel().tolist(),
            "saturations": sum(saturations.values()).tolist(),
            "saturations_of": {name: count.tolist() for name, count in saturations.items()},
            **({"head_saturations": over.tolist()} if art.head else {}),
            "seconds": time.perf_counter() - start} | subset_accuracies(right, subsets)


def fits(art: Artifact, folder: Path, task) -> None:
    """Raise ``ArtifactError`` where the artifact in ``folder`` is not for the task's sequences.

    A random network (``quant.integer.synthetic``) is for any task of its shape; a task's variant
    for files that hold only some of its sequences is the same task.
    """
    pairs = [("vocabulary", art.vocab, task.vocab),
             ("number of classes", art.n_classes, task.n_classes),
             ("number of inputs", art.inputs, inputs_of(task)),
             ("sample format", art.sample, task.sample_format)]
    if art.task != SYNTHETIC:
        pairs = [("task", whole(art.task), whole(spec(task))), *pairs, (
            "permutation", art.permutation, getattr(task, "permutation", None))]
    for what, have, want in pairs:
        if have != want:
            raise ArtifactError(f"{folder} is not for task {task.name}: its {what} is {have}, the "
                                f"task's is {want}; give another --artifact")
    if art.length < task.length:
        raise ArtifactError(f"{folder} takes up to {art.length} steps, but task {task.name} has up "
                            f"to {task.length}; give another --artifact")


def _table(result: dict, task: str) -> None:
    from rich.table import Table
    table = Table("", "value", title=f"{task}: integer network, {result['n']} sequences")
    table.add_row("accuracy", f"{100 * result['accuracy_mean']:.2f} % "
                              f"+- {100 * result['accuracy_std']:.2f} over "
                              f"{len(result['accuracies'])} seed(s)")
    for name, part in result.get("subsets", {}).items():
        table.add_row(f"accuracy, {name}", f"{100 * part['accuracy_mean']:.2f} % +- "
                                           f"{100 * part['accuracy_std']:.2f} on {part['n']} of "
                                           f"them")
    if result["votes"] > 1:
        table.add_row("votes", f"{result['votes']} runs, logits summed")
    table.add_row("spike rate by layer", " ".join(f"{r:.3f}" for r in result["spike_rates"]))
    table.add_row("saturations by layer, residual",
                  " ".join(str(int(np.sum(count))) for count in result["saturations"]))
    if "head_saturations" in result:
        table.add_row("saturations of the head: means, hidden",
                      " ".join(map(str, result["head_saturations"])))
    table.add_row("seconds", f"{result['seconds']:.1f}")
    console().print(table)


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser("quant.evaluate", description=__doc__.splitlines()[0])
    add_task(parser)
    add_net(parser)
    add_artifact(parser, "build/artifacts/<task>[.<net>], exported if it is missing or was "
                 "made from other files than now")
    parser.add_argument("--sampling", choices=FORMS,
                        help="how spikes are drawn; default: as the network was trained")
    add_data_dir(parser)
    parser.add_argument("-n", type=positive, help="first n sequences (default all)")
    parser.add_argument("--split", choices=("val", "test"), default="test",
                        help="val is for choices, test for the final number (default test)")
    parser.add_argument("--seeds", type=positive, default=1,
                        help="evaluations, each with sampler seeds of its own (default 1)")
    parser.add_argument("--votes", type=positive, default=1,
                        help="runs of an evaluation whose logits are summed (default 1)")
    parser.add_argument("--json", type=Path, help="file for the results")
    args = parser.parse_args(argv)
    return cli.code("quant.evaluate", lambda: report(args))


def report(args: argparse.Namespace) -> None:
    """Evaluate, write and print what the options say."""
    from tqdm import tqdm
    task = make_task(args.task)
    folder = current.folder(args)
    art = artifact.load(folder)
    fits(art, folder, task)
    split = task.load(args.split, args.data_dir)
    n = min(args.n or len(split), len(split))
    split = split.take(np.arange(n))
    with tqdm(total=n * art.inputs * args.seeds * args.votes, unit="seq",
              disable=not sys.stderr.isatty()) as bar:
        result = evaluate(art, split, args.seeds, progress=bar.update, votes=args.votes,
                          subsets=subsets_of(task, args.split, n, args.data_dir))
    if args.json:
        write_json(args.json, result | {"commit": made.commit()})
    _table(result, args.task)


if __name__ == "__main__":
    sys.exit(main())
