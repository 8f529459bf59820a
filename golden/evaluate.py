"""Accuracy and spike rates of a network: ``python -m golden.evaluate --task digits``.

Sampling is part of the network, so the accuracy has a deviation over the samplers' seeds.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("golden.evaluate")

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from golden.analysis import chosen
from golden.base import cli, made
from golden.base.files import write_json
from golden.base.options import positive
from golden.training.batches import right, spike_rates
from golden.memory import batch_for, require
from golden.tasks import Split, Task, spec, subset_accuracies, subsets_of


def evaluate(net: nn.Module, task: Task, split: Split, seeds: int = 1, batch: int = 100,
             subsets: dict[str, np.ndarray] | None = None) -> dict:
    """Accuracy over ``split`` for each of the seeds 0 .. seeds - 1, and spike rates.

    ``subsets`` are bool (n,) by name (``golden.tasks.subsets_of``). Returned are accuracy_mean,
    accuracy_std (0 to 1; the sample deviation over seeds, 0 for one), seeds, n, accuracies (one per
    seed), spike_rates (one dict per block: share of neurons that fire per step at the input
    (``s_in``, if there is one) and output (``s_out``) of the neuron, over up to 200 sequences),
    seconds; and, where there are subsets, ``subsets``: for each by name accuracy_mean,
    accuracy_std, n, accuracies.
    """
    began = time.time()
    net.eval()
    batch = batch_for(batch, split.lengths, net.cfg.d_model)
    require("a forward pass", net.cfg, batch, split.lengths, torch.float32,
            training=False)
    found = np.zeros((seeds, len(split)), bool)
    with tqdm(total=seeds * len(split), unit="seq", leave=False) as bar:
        for seed in range(seeds):
            torch.manual_seed(seed)
            found[seed] = right(net, split, task, batch, done=bar.update)
    accuracies = found.mean(1).tolist()
    torch.manual_seed(0)
    return {"accuracy_mean": round(statistics.mean(accuracies), 6),
            "accuracy_std": round(statistics.stdev(accuracies), 6) if seeds > 1 else 0.0,
            "seeds": seeds, "n": len(split), "accuracies": accuracies,
            "spike_rates": spike_rates(net, split.first(200), task),
            "seconds": round(time.time() - began, 1)} | subset_accuracies(found, subsets)


def show(result: dict) -> str:
    """The result as a few lines of text."""
    lines = [f"task      {result['task']}, {result['split']}, {result['n']} sequences",
             f"accuracy  {100 * result['accuracy_mean']:.2f} % +- "
             f"{100 * result['accuracy_std']:.2f} over {result['seeds']} seeds",
             *(f"  {name}  {100 * part['accuracy_mean']:.2f} % +- "
               f"{100 * part['accuracy_std']:.2f} on {part['n']} sequences"
               for name, part in result.get("subsets", {}).items()),
             f"spikes    per neuron and step: block, {', '.join(result['spike_rates'][0])}"]
    lines += [f"          {k}  " + "  ".join(f"{rate:.4f}" for rate in rates.values())
              for k, rates in enumerate(result["spike_rates"])]
    return "\n".join(lines + [f"seconds   {result['seconds']}"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.evaluate", description=__doc__.split("\n")[0])
    chosen.add_options(parser, None, "test")
    parser.add_argument("--seeds", type=positive, default=3,
                        help="number of sampler seeds (default 3)")
    parser.add_argument("--json", type=Path, help="write the result to this file too")
    args = parser.parse_args()
    found, split, _ = chosen.load(args, parser)
    split = split.first(args.n)
    result = {"task": spec(found.task), "split": args.split} | evaluate(
        found.network, found.task, split, args.seeds,
        subsets=subsets_of(found.task, args.split, len(split), args.data_dir))
    print(show(result))
    if args.json:
        write_json(args.json, result | {"commit": made.commit()})


if __name__ == "__main__":
    cli.run("golden.evaluate", main)
