"""Operations and 45 nm energy of a spiking network: ``python -m golden.energy --task psmnist``.

Spike rates are measured on data; then ``golden.analysis.counts`` counts twice: as the paper does,
and with the state updates that it leaves out. Both times the same counting is applied to an S4D of
equal size without spikes and to LIF neurons, with an SSM before them and alone, these at the same
spike rates, or at their own with ``--lif``.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("golden.energy")

import argparse
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from golden import checkpoint
from golden.analysis import chosen, counts as operations
from golden.analysis.activity import Activity, measure
from golden.base import cli, made
from golden.base.files import write_json
from golden.base.options import natural
from golden.model.config import NetworkConfig
from golden.analysis.counts import Count
from golden.tasks import Split, Task, spec

PAPER, FULL = "as the paper counts", "with state updates"
LIF = {"ssm": "SSM and LIF", "spikes": "LIF alone"}     # by drive


def rates_of(seen: Activity) -> list[tuple[float, float]]:
    """(r_in, r_out) of every block."""
    if seen.rate_in is None:
        raise cli.UserError("the network has no spikes in front of its state space models, so "
                            "there is nothing to compare; choose one of family paper")
    return [(float(a), float(b)) for a, b in zip(seen.rate_in.mean(1), seen.rate_out.mean(1))]


def refuse_others(cfg: NetworkConfig, *families: str) -> None:
    """Raise ``UserError`` for a network whose operations are not counted here."""
    if cfg.family not in families:
        raise cli.UserError(f"the network is of family {cfg.family}; operations are counted here "
                            f"for {' and '.join(families)}")
    if getattr(cfg, "branch", False):
        raise cli.UserError("operations are not counted for networks with a second branch")


def compare(cfg: NetworkConfig, seen: Activity, lif_cfg: NetworkConfig | None = None,
            lif_seen: Activity | None = None) -> dict:
    """Both countings for the four networks; plain json.

    ``rows`` have the operations per step (``Count``'s fields), ``nJ_per_step``, ``uJ_per_sequence``
    (of mean length) and ``s4d_ratio``: the energy of S4D in the same counting over this one's.
    ``parts`` say where the second counting's operations are. The LIF networks have cfg's size and
    spike rates, but the one like ``lif_cfg`` its own.
    """
    rates, steps = rates_of(seen), seen.steps / seen.sequences
    lif_of = {drive: (cfg, rates) for drive in LIF}
    if lif_cfg:
        lif_of[lif_cfg.drive] = lif_cfg, rates_of(lif_seen)
    parts = {"P-SpikeSSM": operations.spiking(cfg, rates), "S4D": operations.dense(cfg)}
    paper = {"P-SpikeSSM": operations.paper_counting(cfg, rates),
             "S4D": operations.paper_counting(cfg, None)}
    for drive, name in LIF.items():
        parts[name] = operations.lif(*lif_of[drive], driven=drive == "ssm")
        paper[name] = operations.paper_counting(*lif_of[drive])
    countings = {PAPER: {name: (count, Count()) for name, count in paper.items()},
                 FULL: {name: (operations.total(p), operations.per_sequence(cfg))
                        for name, p in parts.items()}}
    rows = []
    for counting, networks in countings.items():
        energy = {name: (step * steps + once).picojoules
                  for name, (step, once) in networks.items()}
        for name, (step, _) in networks.items():
            rows.append({"counting": counting, "network": name}
                        | {k: round(v, 1) for k, v in asdict(step).items()}
                        | {"nJ_per_step": round(step.picojoules / 1e3, 3),
                           "uJ_per_sequence": round(energy[name] / 1e6, 3),
                           "s4d_ratio": round(energy["S4D"] / energy[name], 2)})
    return {"n_blocks": cfg.n_blocks, "d_model": cfg.d_model, "d_state": cfg.d_state,
            "sequences": seen.sequences, "steps": seen.steps,
            "spike_rates_in": [round(r, 4) for r, _ in rates],
            "spike_rates_out": [round(r, 4) for _, r in rates],
            "lif_rates": {LIF[drive]: "measured" if lif_cfg and lif_cfg.drive == drive
                          else "as P-SpikeSSM" for drive in LIF},
            "mac_pJ": operations.MAC_PJ, "add_pJ": operations.ADD_PJ, "rows": rows,
            "parts": {name: {k: {f: round(v, 1) for f, v in asdict(c).items()}
                             for k, c in p.items()} for name, p in parts.items()}}


def table(result: dict) -> Table:
    """The rows for a terminal, a section for each counting."""
    rates = " ".join(f"{r:.2f}" for r in result["spike_rates_out"])
    out = Table(title=f"{result['task']}: {result['n_blocks']} blocks of {result['d_model']} "
                      f"neurons, {result['d_state']} real states each; spikes per neuron and step "
                      f"{rates} ({result['sequences']} sequences, {result['split']})")
    out.add_column("per step", no_wrap=True)
    for head in ("MAC", "add", "nJ", "uJ/sequence", "S4D/this"):
        out.add_column(head, justify="right", no_wrap=True)
    counting = None
    for row in result["rows"]:
        if row["counting"] != counting:
            counting = row["counting"]
            out.add_section()
            out.add_row(counting, style="bold")
        out.add_row("  " + row["network"], f"{row['mac']:,.0f}", f"{row['add']:,.0f}",
                    f"{row['nJ_per_step']:,.1f}", f"{row['uJ_per_sequence']:,.2f}",
                    f"{row['s4d_ratio']:.2f}")
    return out


def measured_lif(path: Path, task: Task, split: Split, seed: int) -> tuple[NetworkConfig, Activity]:
    """Configuration and activity of an LIF checkpoint on the same sequences."""
    found = checkpoint.load(path, task=spec(task))
    checkpoint.of_task(found, spec(task), path)
    refuse_others(found.network.cfg, "lif")
    return found.network.cfg, measure(found.network, split, task, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.energy", description=__doc__.split("\n")[0])
    chosen.add_options(parser, n=200)
    parser.add_argument("--seed", type=natural, default=0, help="seed of the samplers; default 0")
    parser.add_argument("--lif", type=Path,
                        help="a checkpoint of family lif, whose own spike rates are used")
    parser.add_argument("--json", type=Path, help="write the result to this file too")
    args = parser.parse_args()
    found, split, _ = chosen.load(args, parser)
    refuse_others(found.network.cfg, "paper", "released")
    split = split.first(args.n)
    lif = measured_lif(args.lif, found.task, split, args.seed) if args.lif else (None, None)
    seen = measure(found.network, split, found.task, seed=args.seed)
    result = {"task": spec(found.task), "split": args.split} | compare(found.network.cfg, seen,
                                                                       *lif)
    cli.console().print(table(result))
    print("Priced: multiply-accumulates and accumulates. Not priced: comparisons, random words, "
          "GELU, memory.")
    if args.json:
        write_json(args.json, result | {"commit": made.commit()})


if __name__ == "__main__":
    cli.run("golden.energy", main)
