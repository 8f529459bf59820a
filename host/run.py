"""Test sequences through a board: answers against the integer network, latency, throughput."""

import argparse
import time
from dataclasses import asdict, dataclass, field

import numpy as np
from rich.table import Table
from tqdm import tqdm

from golden.base.cli import UserError, console
from golden.tasks import Split
from host.board import Answer, Board
from quant.integer import head, lfsr
from quant.integer.artifact import Artifact
from quant.evaluate import seed_number
from quant.integer.network import Batch, IntegerNetwork
from sim.compare import named


@dataclass
class Tally:
    """Answers of a board beside the reference's.

    logits : (B, outputs), summed over the seeds, expected : the reference's; latencies, in seconds,
    and clocks of every run. With two inputs sequence 2 k + i is input i of example k.
    """

    art: Artifact
    logits: np.ndarray
    expected: np.ndarray
    equal: int = 0
    runs: int = 0
    first: str | None = None                    # first difference
    latencies: list[float] = field(default_factory=list)
    clocks: list[int] = field(default_factory=list)
    unpredicted: int = 0                        # runs whose cycles are not the predicted ones
    saturations: int = 0
    seconds: float = 0.0

    def add(self, number: int, b: int, seed: int, answer: Answer, batch: Batch) -> None:
        """Sequence ``number`` of the test set, ``b`` of the batch, under one seed."""
        wrong = [f"{name}: {have} in place of {want}" for name, have, want in (
            ("class", answer.label, int(batch.labels[b])),
            ("logits", answer.logits.tolist(), batch.logits[b].tolist()),
            ("saturations", answer.saturations.tolist(), batch.saturations[b].tolist()))
            if have != want]
        if wrong and not self.first:
            place = named(number, self.art.inputs)
            self.first = f"sequence {place}, seed {seed}, {wrong[0]}"
        self.runs += 1
        self.equal += not wrong
        self.logits[b] += answer.logits
        self.expected[b] += batch.logits[b]
        self.latencies.append(answer.seconds)
        self.clocks.append(answer.cycles)
        self.saturations += int(answer.saturations.sum())


    def classes(self, part: Split, indices: np.ndarray, votes: int) -> np.ndarray:
        """Of the examples (B / inputs,), by the board's sums; compared with the reference's."""
        found, wanted = (head.answers(self.art, logits, part.lengths, votes)
                         for logits in (self.logits, self.expected))
        bad = np.flatnonzero((found.logits != wanted.logits).any(1))
        if len(bad) and not self.first:
            k, inputs = bad[0], self.art.inputs
            self.first = (f"sequence {indices[k * inputs] // inputs}, logits of the votes: "
                          f"{found.logits[k].tolist()} in place of {wanted.logits[k].tolist()}")
        return found.labels


def seeds_of(art: Artifact, seed: int | None, votes: int) -> list[int]:
    """``--seed`` of the runs of a sequence, as ``quant.evaluate --votes`` has them."""
    if seed is not None and votes > 1:
        raise UserError("--seed and --votes: votes have seeds of their own; leave one of them out")
    return [seed] if seed is not None else [
        lfsr.seed_of(art.random, seed_number(art, j)) for j in range(votes)]


def compare(board: Board, art: Artifact, part: Split, indices: np.ndarray, seeds: list[int],
            ) -> Tally:
    """Run the single sequences of ``part``, each under every seed; the reference runs before them.

    indices : their numbers in the test set, with two inputs as of ``sim.inputs.flat``.
    """
    tally = Tally(art, *np.zeros((2, len(part), art.outputs), np.int64))
    lengths = part.lengths.tolist()
    expected = board.predict(art, lengths)
    masters = [lfsr.master_seed(art.random, seed) for seed in seeds]
    batches = [IntegerNetwork(art, master).run(part.values, part.lengths) for master in masters]
    sequences = [part.values[b, :length] for b, length in enumerate(lengths)]
    answers = board.run(sequences, expected, [board.seed_requests(art, m) for m in masters])
    with tqdm(total=len(part) * len(seeds), unit="seq", disable=None, leave=False) as bar:
        begin = time.perf_counter()
        for number, answer in enumerate(answers):
            b, vote = divmod(number, len(seeds))
            tally.add(int(indices[b]), b, seeds[vote], answer, batches[vote])
            tally.unpredicted += answer.cycles != expected[lengths[b]]
            bar.update()
        tally.seconds += time.perf_counter() - begin
    return tally


def summary(board: Board, examples: Split, tally: Tally, classes: np.ndarray, seeds: list[int],
            args: argparse.Namespace) -> dict:
    """What the table and the JSON say; ``classes`` are those of the examples."""
    latency, clocks = np.array(tally.latencies), np.array(tally.clocks)
    return {
        "task": args.task, "port": args.port, "model": board.registers()["model"].hex(),
        "lanes": board.identity.lanes, "clock_MHz": board.identity.clock_khz / 1000,
        "examples": len(examples), "sequences": len(tally.logits), "votes": len(seeds),
        "seeds": seeds, "master_seeds": [lfsr.master_seed(tally.art.random, s) for s in seeds],
        "accuracy": float((classes == examples.labels).mean()),
        "runs": tally.runs, "equal": tally.equal, "first_difference": tally.first,
        "cycles": float(clocks.mean()), "cycles_not_as_predicted": tally.unpredicted,
        "ms_on_board": float(clocks.mean() / board.identity.clock_khz),
        "ms_latency": {"mean": 1e3 * float(latency.mean()),
                       "median": 1e3 * float(np.median(latency)),
                       "max": 1e3 * float(latency.max())},
        "sequences_per_second": tally.runs / tally.seconds, "saturations": tally.saturations,
        "line": asdict(board.transport.counters),
        "frames_broken_at_board": board.registers()["bad"]}


def show(row: dict, noise: dict | None) -> None:
    """The table."""
    table = Table("", "value", title=f"{row['task']} on {row['port']}, {row['lanes']} lanes, "
                                     f"{row['clock_MHz']:g} MHz")
    good = row["equal"] == row["runs"]
    ms, line = row["ms_latency"], row["line"]
    for name, value in (
            ("accuracy", f"{100 * row['accuracy']:.2f} % of {row['examples']}"
                         + (" pairs, by the head" if row["examples"] < row["sequences"] else "")
                         + (f", {row['votes']} votes" if row["votes"] > 1 else "")),
            ("equal to the reference", f"[{'green' if good else 'bold red'}]{row['equal']} of "
                                       f"{row['runs']}[/]"),
            ("cycles per sequence", f"{row['cycles']:,.0f}, {row['ms_on_board']:.3f} ms; "
             + ("as predicted" if not row["cycles_not_as_predicted"] else
                f"{row['cycles_not_as_predicted']} not as predicted")),
            ("latency at the host", f"{ms['mean']:.1f} ms, median {ms['median']:.1f}, longest "
                                    f"{ms['max']:.1f}"),
            ("throughput", f"{row['sequences_per_second']:.2f} sequences per second"),
            ("saturations", str(row["saturations"])),
            ("frames", f"{line['sent']} sent, {line['repeated']} of them again; broken "
                       f"{row['frames_broken_at_board']} there, {line['broken']} here")):
        table.add_row(name, value)
    if noise:
        table.add_row("noise on the line", f"{noise['corrupted']} bytes changed, "
                                           f"{noise['dropped']} lost")
    console().print(table)
