"""What the record asks of golden networks and what export makes of them.

When the project's API moves, this changes, and the record does not. What a function returns has
today's names and meanings. Integers are numpy arrays or ints, real numbers float64.
"""

import contextlib
import hashlib
import io
import tempfile
import zipfile
from dataclasses import astuple
from pathlib import Path

import numpy as np
import torch

from golden import checkpoint as checkpoints
from golden.analysis import counts as operations
from golden.model import before, norms
from golden.model.network import Network
from golden.released import (build as released_build, check as released_check,
                             state as released_state)
from golden.tasks import make_task
from quant import export as exporting, prepare
from quant.formats import QUANT_CONFIGS, QuantConfig, shipped_config
from quant.lower.passes import fold
from quant.tune import convert, ranges
from quant.tune.fit import Extremes, fit
from quant.tune.qat import QuantNetwork

HERE = Path(__file__).resolve().parent
SHIPPED = checkpoints.SHIPPED


def network_names() -> list[str]:
    """Of all frozen checkpoints."""
    with zipfile.ZipFile(HERE / "checkpoints.zip") as file:
        return [Path(name).stem for name in file.namelist()]


def load_network(name: str):
    """A frozen checkpoint: ``network`` (float64, evaluation mode) and ``task``."""
    with tempfile.TemporaryDirectory() as folder, \
            zipfile.ZipFile(HERE / "checkpoints.zip") as file:
        path = Path(file.extract(f"{name}.pt", folder))
        found = checkpoints.load(path, task=checkpoints.read(path)["task"])
    found.network.double()
    return found


def load_shipped(name: str):
    """A shipped checkpoint by its file's name, float32."""
    return checkpoints.load(SHIPPED / f"{name}.pt")


def shipped_names() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.pt") if not path.stem.endswith(".qat"))


def fresh(net) -> torch.nn.Module:
    """A new network of the same configuration."""
    made = Network(net.cfg)
    old = net.cfg.family in ("paper", "lif") and net.cfg.residual != "plain"
    if hasattr(made, "first") and old:
        made.register_parameter("input_gamma", torch.nn.Parameter(torch.ones(net.cfg.d_model)))
    return made


def blocks(net) -> int:
    return net.cfg.n_blocks


def batch(task, rng: np.random.Generator, rows: int, steps: int) -> torch.Tensor:
    """Random samples of a task as a network takes them, float64, or tokens, (rows, steps)."""
    fmt = task.sample_format
    low, high = (0, task.vocab - 1) if fmt is None else (fmt.lo, fmt.hi)
    raw = torch.from_numpy(rng.integers(low, high + 1, (rows, steps)))
    return raw if fmt is None else raw.double() * 2.0 ** -fmt.f_bits


def statistics(net) -> list[torch.Tensor]:
    """Mean and variance of every batch norm, in the order of the forward pass."""
    return [t for norm in net.norms() if norm.kind == "batch" for t in (norm.mean, norm.var)]


def energy(net, rates: list[tuple[float, float]]) -> dict[str, list[float]]:
    """Operations of a step (mac, add, compare, random, function) by network and counting."""
    cfg = net.cfg
    found = {"per sequence": operations.per_sequence(cfg)}
    samplers, branch = cfg.family in ("paper", "released"), getattr(cfg, "branch", False)
    if samplers and not branch:
        found |= {"spiking": operations.total(operations.spiking(cfg, rates)),
                  "dense": operations.total(operations.dense(cfg)),
                  "paper, dense": operations.paper_counting(cfg, None)}
    if (samplers or cfg.family == "lif") and not branch:
        found |= {"lif behind an SSM": operations.total(operations.lif(cfg, rates, True)),
                  "lif alone": operations.total(operations.lif(cfg, rates, False)),
                  "paper": operations.paper_counting(cfg, rates)}
    return {name: [float(number) for number in astuple(count)] for name, count in found.items()}


def exported(found, values: torch.Tensor, lengths: torch.Tensor, extremes=None):
    """The artifact of a network, in float64: estimate norms, fold, fit, quantise, check.

    values, lengths : the batch that the norms' statistics come from.
    """
    task, config = found.task, QuantConfig()
    train = task.load("train")
    with contextlib.redirect_stdout(io.StringIO()):
        found = prepare.ready(found, train)
    torch.manual_seed(0)
    norms.reestimate(found.network, [(values, lengths)])
    folded = fold(found.network)
    torch.manual_seed(0)
    seen = ranges.seen(folded, train, task, np.arange(16))
    net = QuantNetwork(fit(folded, seen, config, task.sample_format))
    art = convert.to_artifact(net, "frozen", task.length, exporting.SEED, {})
    ranges.check_seen(seen, art, config.margin)
    return art


def converted(found, name: str):
    """The artifact of a shipped network without any data: the file's statistics, given ranges."""
    cfg = found.network.cfg
    folded = fold(found.network.double())
    shape, x = (2, cfg.d_model, cfg.n_modes), np.full(cfg.d_model, 3.0)
    seen = Extremes({(j, "h"): (np.full(shape, -2.5), np.full(shape, 2.5))
                     for j in range(cfg.n_blocks)}
                    | {(place, "x"): (-x, x) for place in ("first", *range(cfg.n_blocks))}, {})
    net = QuantNetwork(fit(folded, seen, QUANT_CONFIGS[shipped_config(name)],
                           found.task.sample_format))
    return convert.to_artifact(net, "frozen", found.task.length, exporting.SEED, {})


def whole_export(found, name: str):
    """What ``python -m quant.export`` makes of a shipped network, with its fine-tuned weights."""
    tuned_file = SHIPPED / f"{name}.qat.pt"
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return exporting.export(found, Path(folder) / "out", QUANT_CONFIGS[shipped_config(name)],
                                n=0, n_vectors=0, qat=tuned_file if tuned_file.exists() else None)


def state_digest(net) -> str:
    """sha256 of the network's tensors but for statistics, as files of before have them."""
    h = hashlib.sha256()
    for name, tensor in sorted(before.tensors(net).items()):
        if not name.endswith(("fuse.mean", "fuse.var", "norm.mean", "norm.var")):
            h.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return h.hexdigest()


def imported(path: Path) -> tuple[torch.nn.Module, dict]:
    """The network of a fixture, and the comparison with what the released code computed."""
    found = released_state.read(path)
    fixture = released_check.read_fixture(path, released_state.sizes(found))
    residual = released_check.fitting_residual(found.stack, fixture)
    net = released_build.network(found, residual, make_task("psmnist"))
    report = released_check.compare(net, found.stack, fixture)
    real = ("difference", "form", "margin")
    rows = [{key: float(value) if key in real else value for key, value in vars(row).items()}
            for row in report.rows]
    return net.double(), {"output": float(report.output), "passed": report.passed(),
                          "blocks": rows}
