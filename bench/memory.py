"""Peak memory against the length of the sequences: ``python -m bench.memory``.

Each step is made in a process of its own, one thread, with the heap settings of the commands. The
tables show beside it what ``golden.memory`` estimates before a run. Results are kept in a JSON file
from step to step, so a run that was stopped goes on; ``--show`` only prints.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numba
import torch

from bench import kept
from golden import memory
from golden.base import cli, heap
from golden.model.config import FAMILIES, NetworkConfig
from golden.model.network import Network
from golden.training.recipes import recipe_for
from golden.tasks import make_task

JSON = Path("docs/results/memory.json")
LENGTHS = (1000, 2000, 4000, 8000, 16_000, 35_000, 70_000)
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Case:
    """A training step, or with ``training`` false a forward pass, of ``batch`` examples.

    ``task`` gives the network of its recipe, and its input, in place of ``network``.
    """

    length: int
    dtype: str = "bfloat16"
    batch: int = 1
    network: dict = field(default_factory=dict)     # of the family's configuration
    lengths: bool = False       # sequences of different lengths
    training: bool = True
    task: str = ""

    @property
    def cfg(self) -> NetworkConfig:
        if self.task:
            return recipe_for(make_task(self.task)).network
        options = {"family": "paper", "n_classes": 10, "n_blocks": 2, "d_model": 64} | self.network
        return FAMILIES[options.pop("family")](**options)

    def estimate(self) -> int:
        """Bytes that ``golden.memory`` expects beyond what the process has before."""
        return memory.needed(self.cfg, self.sequences, self.length, getattr(torch, self.dtype),
                             self.training)

    @property
    def sequences(self) -> int:
        return self.batch * (2 if self.cfg.pair else 1)

    def values(self) -> torch.Tensor:
        """Random input, (sequences, length)."""
        shape = self.sequences, self.length
        return torch.randint(1, self.cfg.vocab, shape) if self.cfg.vocab else torch.rand(shape)


LARGE = {"n_blocks": 4, "d_model": 128}
CASES = {f"{length:,} steps, {dtype}": Case(length, dtype)
         for length in LENGTHS for dtype in DTYPES} | {
    "psmnist large, batch 64": Case(784, batch=64, network={
        "n_blocks": 4, "d_model": 168, "sampling": "systematic"}),
    "4 x 128, 2,000 steps, lengths differ, batch 32": Case(2000, batch=32, network=LARGE,
                                                           lengths=True),
    "4 x 128, 16,384 steps, batch 8": Case(16_384, batch=8, network=LARGE),
    "4 x 128, plain, GELU, 4,096 steps, lengths differ, batch 8": Case(
        4096, batch=8, network=LARGE | {"residual": "plain", "act": "gelu"}, lengths=True),
    "1 x 128, 32 modes, 16,000 steps, float32": Case(16_000, "float32", network={
        "n_blocks": 1, "d_model": 128, "d_state": 64}),
    "released, DPLR, 2 x 64, 32 modes, 4,096 steps, batch 16": Case(4096, batch=16, network={
        "family": "released", "d_state": 64, "gelu_before_sampler": False}),
    "Binary S4D, 2 x 128, 4,096 steps, batch 16": Case(4096, batch=16, network={
        "family": "stream", "d_model": 128}),
    "forward, 4 x 128, 16,384 steps, float32, batch 12": Case(
        16_384, "float32", 12, LARGE | {"sampling": "systematic"}, training=False),
    "forward, 4 x 128, 2,000 steps, float32, lengths differ, batch 100": Case(
        2000, "float32", 100, LARGE, lengths=True, training=False)} | {
    # The recipes of tasks whose data is rarely at hand, whole
    f"recipe {task}, batch 1": Case(make_task(task).length, task=task)
    for task in ("retrieval", "pathx", "sc10", "sc35")}


def status(name: str) -> int:
    """Bytes of a line of this process's status."""
    text = Path("/proc/self/status").read_text()        # getrusage counts the parent's too
    return int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) * 1024


def step(case: Case) -> dict:
    """Make the step twice; peak and start in bytes, CPU seconds of the second."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    net, dtype = Network(case.cfg), getattr(torch, case.dtype)
    opt = torch.optim.AdamW(net.parameters())
    v, labels = case.values(), torch.zeros(case.batch).long()
    lengths = torch.arange(len(v)) % 2 + case.length - 1 if case.lengths else None
    before = status("VmRSS")
    for _ in range(2):
        began = time.process_time()
        if case.training:
            loss = torch.nn.functional.cross_entropy(net(v, lengths, dtype), labels)
            opt.zero_grad()
            loss.backward()
            opt.step()
        else:
            with torch.no_grad():
                net.eval()(v, lengths, dtype)
    return {"before": before, "peak": status("VmHWM"),
            "seconds": round(time.process_time() - began, 3)}


def measure(name: str) -> dict:
    """:func:`step` in a fresh process."""
    done = subprocess.run([sys.executable, "-m", "bench.memory", "--only", name], check=True,
                          env=os.environ | heap.SETTINGS, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def tables(rows: dict) -> str:
    """Both tables in Markdown, of those steps that are measured."""
    def mb(value):
        return f"{value / 1e6:,.0f}"

    lines = ["| steps | float32, MB | estimate | bfloat16, MB | estimate |", "| --- " * 5 + "|"]
    for length in LENGTHS:
        cells = [f"{length:,}"]
        for name in (f"{length:,} steps, {dtype}" for dtype in DTYPES):
            if name in rows:
                row = rows[name]
                cells += [mb(row["peak"]), mb(row["before"] + CASES[name].estimate())]
        lines += [f"| {' | '.join(cells)} |"] if len(cells) == 5 else []
    lines += ["", "| step | peak, MB | estimate | CPU seconds |", "| --- " * 4 + "|"]
    for name, case in list(CASES.items())[len(LENGTHS) * len(DTYPES):]:
        if name in rows:
            row = rows[name]
            lines.append(f"| {name} | {mb(row['peak'])} | {mb(row['before'] + case.estimate())} | "
                         f"{row['seconds']:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser("bench.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=JSON, help="default %(default)s")
    parser.add_argument("--show", action="store_true", help="print what is known, measure nothing")
    parser.add_argument("--only", choices=CASES, help="make one step here, print its JSON")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(step(CASES[args.only])))
        return
    result = kept.opened(args.json, {"threads": 1}, "steps", args.show)
    kept.fill(args.json, result, result["steps"], () if args.show else CASES, measure)
    print(tables(result["steps"]))


if __name__ == "__main__":
    cli.run("bench.memory", main)
