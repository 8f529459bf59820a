"""Networks of the released P-SpikeSSM code: ``python -m golden.import_release CKPT``.

``--out FILE`` writes a checkpoint of this project, ``--check FIXTURE.npz`` compares with what the
released code computed. A fixture has the stack's input ``x`` (B, L, H), the uniform draws ``u0``,
``u1``, ... in the order they were made, the output ``block0``, ... of every block and ``y``, of
the stack. Exit code 1 if an output differs by more than 1e-4 or a spike differs.

An untrained file has HiPPO-LegS as initialised, whose eigenvectors are badly conditioned. Training
moves it; ``--perturb 0.3`` does so without training, for trials.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from golden import checkpoint
from golden.released import check as released_check
from golden.base import cli
from golden.base.options import above_zero, natural
from golden.model import dplr
from golden.model.network import Network
from golden.released.build import network
from golden.released.state import Release, ReleaseError, read, sizes
from golden.tasks import make_task

CONDITION = 1e4                 # of the eigenvectors, up to which a layer is made diagonal


def residual_of(found: Release, asked: str | None, fixture: Path | None) -> str:
    """The residual, which no tensor shows: as asked, or the one that fits the fixture."""
    if asked:
        return asked
    if fixture is None:
        raise ReleaseError(f"{found.path}: whether blocks have a residual is not in the tensors; "
                           f"give --residual none (psMNIST's configuration), --residual plain "
                           f"(the others), or a fixture to --check")
    return released_check.fitting_residual(found.stack, released_check.read_fixture(
        fixture, sizes(found)))


def conditions(net: Network) -> list[str]:
    """A line per layer with neurons that do not become independent modes."""
    lines = []
    for k, block in enumerate(net.blocks):
        for name in ("ssm", "ssm_branch"):
            ssm = getattr(block, name, None)
            if ssm is None:
                continue
            with torch.no_grad():
                *_, condition = dplr.modes(ssm.dense())
            bad = np.count_nonzero(condition > CONDITION)
            if bad:
                lines.append(
                    f"block {k}, {name}: {bad} of {len(condition)} neurons do not diagonalise "
                    f"(eigenvector condition up to {condition.max():.1e}, limit {CONDITION:.0e}); "
                    f"their dense recurrence is exact")
    return lines


@torch.no_grad()
def perturb(net: Network, spread: float, seed: int) -> None:
    """Multiply every value of A, B and P by 1 + ``spread`` N(0, 1)."""
    random = torch.Generator().manual_seed(seed)
    for block in net.blocks:
        for ssm in (block.ssm, block.ssm_branch) if net.cfg.branch else (block.ssm,):
            for values in (ssm.log_A_re, ssm.A_im, ssm.P, ssm.B):
                values.mul_(1 + spread * torch.randn(values.shape, generator=random))


def main() -> None:
    parser = argparse.ArgumentParser(prog="golden.import_release",
                                     description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path, help="torch file, or npz with state.* keys")
    parser.add_argument("--out", type=Path, help="write a checkpoint of this project")
    parser.add_argument("--check", type=Path, metavar="FIXTURE.npz",
                        help="compare with the released code's outputs, block by block")
    parser.add_argument("--residual", choices=("none", "plain"),
                        help="whether blocks have a residual, which the file does not say; "
                        "default: as the fixture of --check shows")
    parser.add_argument("--norm-position", choices=("pre", "post"),
                        help="refuse the file if its norm is elsewhere")
    parser.add_argument("--task", default="psmnist", help="task of encoder and decoder, which get "
                        "start values where the file has none; default: psmnist")
    parser.add_argument("--perturb", type=above_zero, metavar="SPREAD",
                        help="change every value of A, B and P at random, by about so much of it, "
                        "behind the check; the network is another one then")
    parser.add_argument("--seed", type=natural, default=0, help="of --perturb; default 0")
    args = parser.parse_args()
    torch.set_num_threads(1)
    task = make_task(args.task)
    found = read(args.checkpoint)
    position = "pre" if sizes(found).prenorm else "post"
    if args.norm_position not in (None, position):
        raise ReleaseError(f"{args.checkpoint}: norm_position is {position}, not "
                           f"{args.norm_position}: the stack has "
                           f"{'a' if position == 'pre' else 'no'} norm after its blocks")
    net = network(found, residual_of(found, args.residual, args.check), task)
    cfg = net.cfg
    print(f"{cfg.n_blocks} blocks of {cfg.d_model} neurons, d_state {cfg.d_state}, {cfg.kernel} "
          f"kernel, {cfg.norm} norm {cfg.norm_position}, residual {cfg.residual}, "
          f"{'with' if cfg.branch else 'no'} branch, A "
          f"{'shared' if cfg.shared_A else 'per neuron'}")
    fresh = [part for part in ("encoder", "decoder") if not getattr(found, part)]
    if fresh:
        print(f"{' and '.join(fresh)} not in the file: start values for task {args.task}")
    passed = True
    if args.check:
        report = released_check.compare(net, found.stack, released_check.read_fixture(
            args.check, sizes(found)))
        print(report.table())
        passed = report.passed()
    if args.perturb:
        perturb(net, args.perturb, args.seed)
    for line in conditions(net):
        print(line)
    if args.out and passed:
        info = {"imported": args.checkpoint.name, "start_values": fresh}
        if args.perturb:
            info["perturbed"] = {"spread": args.perturb, "seed": args.seed}
        checkpoint.save(args.out, net, task, info)
        print(f"{args.out} {args.out.stat().st_size} bytes")
    if not passed:
        sys.exit(1)


if __name__ == "__main__":
    cli.run("golden.import_release", main)
