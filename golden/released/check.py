"""An imported network against what the released code computed for a fixture.

A fixture holds outputs but no spikes. They are reconstructed: ``golden.released.reference`` runs
every block on the fixture's own input of that block, and a step whose output is then not the
fixture's was made by other spikes, so it counts as one more differing spike. The network itself
runs freely, from the first block's input to the end.
"""

import copy
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from golden.base.cli import differing
from golden.released import reference as released_reference
from golden.model.network import Network
from golden.released.state import ReleaseError, Sizes, read_npz

LIMIT = 1e-4                    # of the largest difference of an output
SPIKES = ("s_in", "s_out", "s_in2", "s_out2")


@dataclass(frozen=True)
class Fixture:
    """Input, draws and outputs, all (B, L, H)."""

    x: np.ndarray
    u: list[np.ndarray]         # two per block
    blocks: list[np.ndarray]
    y: np.ndarray

    def inputs(self) -> list[np.ndarray]:
        """Of every block."""
        return [self.x, *self.blocks[:-1]]


def read_fixture(path: Path, made: Sizes) -> Fixture:
    """Raises :class:`ReleaseError` for a file that is none or is of another network."""
    if not Path(path).is_file():
        raise ReleaseError(f"{path} does not exist; --check needs an npz with x, u0, u1, ..., "
                           f"block0, ... and y")
    arrays = read_npz(path)
    wanted = ["x", "y", *(f"u{i}" for i in range(2 * made.blocks)),
              *(f"block{k}" for k in range(made.blocks))]
    different = differing(wanted, (name for name in arrays if name in wanted
                                   or re.fullmatch(r"(u|block)\d+", name)))
    if different:
        raise ReleaseError(f"{path}: {made.blocks} blocks need {', '.join(wanted)}; {different}")
    shape = arrays["x"].shape
    for name in wanted:
        if arrays[name].shape != shape or len(shape) != 3 or shape[2] != made.H or 0 in shape:
            raise ReleaseError(f"{path}: {name} has shape {arrays[name].shape}; all must have the "
                               f"same shape (sequences, steps, {made.H})")
        if not np.isfinite(arrays[name]).all():
            raise ReleaseError(f"{path}: {name} contains values that are not finite")
    return Fixture(arrays["x"], [arrays[f"u{i}"] for i in range(2 * made.blocks)],
                   [arrays[f"block{k}"] for k in range(made.blocks)], arrays["y"])


def fitting_residual(stack: dict[str, np.ndarray], fixture: Fixture) -> str:
    """The residual with which the first block's output is the nearer one to the fixture's."""
    far = {name: np.abs(released_reference.block(
        stack, 0, fixture.x.astype(np.float64), *fixture.u[:2], name == "plain")["out"]
        - fixture.blocks[0]).mean() for name in ("none", "plain")}
    return min(far, key=far.get)


@dataclass(frozen=True)
class Row:
    """One block of the comparison."""

    difference: float           # largest, of the output
    form: float                 # largest, of the SSM's convolution from its recurrence
    spikes: int                 # of all samplers
    differing: dict[str, int]   # by sampler
    unexplained: int            # steps whose output other spikes have made
    margin: float               # smallest distance of a probability from its draw


@dataclass(frozen=True)
class Report:
    """The comparison: a row per block, and the output of the stack."""

    rows: list[Row]
    output: float

    def passed(self) -> bool:
        """Whether every output is within :data:`LIMIT` and every spike the same."""
        return bool(self.output <= LIMIT) and all(
            row.difference <= LIMIT and not sum(row.differing.values()) + row.unexplained
            for row in self.rows)

    def table(self) -> str:
        lines = ["block  largest difference  differing spikes  of        nearest draw  "
                 "convolution - recurrence"]
        for k, row in enumerate(self.rows):
            total = sum(row.differing.values()) + row.unexplained
            note = ", ".join([f"{name} {n}" for name, n in row.differing.items() if n]
                             + [f"unlike any spikes {row.unexplained}"] * (row.unexplained > 0))
            lines.append(f"{k:5d}  {row.difference:18.2e}  {total:16d}  {row.spikes:8d}  "
                         f"{row.margin:12.1e}  {row.form:24.1e}{'  ' + note if note else ''}")
        lines.append(f"stack  {self.output:18.2e}")
        lines.append("equal" if self.passed() else "NOT equal")
        return "\n".join(lines)


def _form(block: torch.nn.Module, seen: dict[str, torch.Tensor]) -> float:
    """Largest difference of the convolution form from the recurrence, on these spikes."""
    worst = 0.0
    for name, spikes in (("ssm", "s_in"), ("ssm_branch", "s_in2")):
        ssm = getattr(block, name, None)
        if ssm is not None:
            s = seen[spikes].permute(2, 1, 0).contiguous()              # (H, L, B)
            difference = ssm.convolve(s[:, :, None]).squeeze(2) - ssm.recurrent(s)
            worst = max(worst, difference.abs().max().item())
    return worst


@torch.no_grad()
def compare(net: Network, stack: dict[str, np.ndarray], fixture: Fixture) -> Report:
    """Run the network in float64 on the fixture; ``stack`` are the released tensors."""
    net = copy.deepcopy(net).double()
    seen, y = net.trace(torch.from_numpy(fixture.x).double(),
                        [torch.from_numpy(u).double() for u in fixture.u])
    rows = []
    for k, (block, x, out) in enumerate(zip(net.blocks, fixture.inputs(), fixture.blocks)):
        u1, u2 = fixture.u[2 * k:2 * k + 2]
        wanted = released_reference.block(stack, k, x.astype(np.float64), u1, u2,
                                          net.cfg.residual == "plain")
        names = [name for name in SPIKES if name in wanted]
        second = u1 if net.cfg.branch else u2
        margin = min(np.abs(wanted[name] - u).min() for name, u in (
            ("q_in", u1), ("q_out", second), ("q_in2", u2), ("q_out2", u1)) if name in wanted)
        rows.append(Row(
            float(np.abs(seen[k]["out"].numpy() - out).max()), _form(block, seen[k]),
            sum(int(wanted[name].sum()) for name in names),
            {name: int((seen[k][name].numpy() != wanted[name]).sum()) for name in names},
            int((np.abs(wanted["out"] - out) > LIMIT).any(axis=2).sum()), float(margin)))
    return Report(rows, float(np.abs(y.numpy() - fixture.y).max()))
