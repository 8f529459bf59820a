# amaranth: UnusedElaboratable=no
"""Everything that the record asks of the project: when the project's API moves, only this changes.

What a function returns has today's names and meanings, so a change here must not change a value.
Integers are numpy arrays or ints, real numbers float64.
"""

import contextlib
import io
import json
import tempfile
import zipfile
from dataclasses import astuple
from pathlib import Path

import numpy as np
import torch
from amaranth.back import rtlil as backend

from golden import checkpoint as checkpoints
from golden import models, norms, operations, released_build, released_check, released_state
from golden.cli import UserError
from golden.tasks import make_task
from quant import diagonalise, finetune, gated_artifact, gated_convert, gated_network, gated_qat, gated_ranges, gated_reference
from quant.integer import artifact, head, network, reference, vectors
from quant.tune import convert, qat, ranges
from quant import export as exporting
from quant.integer.artifact import Artifact, ArtifactError
from quant.tune.draws import LfsrDraws
from quant.tune.fit import Extremes
from quant.formats import QUANT_CONFIGS, QuantConfig, shipped_config
from quant.gated_artifact import GatedArtifact
from quant.systems import system_of
from rtl import cycles, image
from rtl.config import Geometry, HardwareConfig, HardwareError
from rtl.core import Core

HERE = Path(__file__).resolve().parent
SHIPPED = checkpoints.SHIPPED
REFUSALS = (UserError, ArtifactError, HardwareError)    # of what cannot be, not of what is wrong


# --- artifacts -----------------------------------------------------------------------------------

def artifact_names() -> list[str]:
    """Of all frozen artifacts."""
    with zipfile.ZipFile(HERE / "artifacts.zip") as file:
        return list(dict.fromkeys(name.split("/")[0] for name in file.namelist()))


def load_artifact(name: str) -> Artifact | GatedArtifact:
    """A frozen artifact, through the loader for files."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(HERE / "artifacts.zip") as file:
        for part in ("manifest.json", "arrays.npz"):
            file.extract(f"{name}/{part}", folder)
        path = Path(folder) / name
        kind = gated_artifact if "network" in json.loads((path / "manifest.json").read_text()) \
            else artifact
        return kind.load(path)


def is_spiking(art) -> bool:
    """Whether it is a P-SpikeSSM network, whose Trace has spikes and a signature."""
    return isinstance(art, Artifact)


def has_head(art) -> bool:
    return art.head is not None


def limits(art) -> tuple[int, int, int]:
    """Lowest and highest raw sample or token, and the longest sequence."""
    if art.vocab:
        return 0, art.vocab - 1, art.length
    return art.edge.sample.lo, art.edge.sample.hi, art.length


def tensors(art) -> dict[str, np.ndarray]:
    """All integers by name: ``enc_w``, ``layer0.a_re``, ``head.w1``, ``directions``, ..."""
    kind = artifact if is_spiking(art) else gated_artifact
    return {name: raw for name, raw in kind._arrays(art).items() if raw.size}


def scalars(art) -> dict:
    """Everything of the manifest that decides behaviour and is no format."""
    names = ("n_classes", "length", "vocab", "residual", "rounding", "seed")
    more = ("act", "sampling") if is_spiking(art) else ("mixer", "norm_position", "fires_at_zero",
                                                        "threshold")
    return {name: getattr(art, name) for name in names + more}


def formats(art) -> dict:
    """Number formats as text, and the generator's numbers."""
    found = convert.formats_of(art) if is_spiking(art) else art.formats
    return found.to_dict()


def trace(art, values: np.ndarray) -> dict:
    """What the reference says of one sequence."""
    return vars((reference if is_spiking(art) else gated_reference).run(art, values))


def fast(art, values: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Logits, labels, saturations and spikes of the fast integer network, on one thread."""
    kind = network.IntegerNetwork if is_spiking(art) else gated_network.GatedIntegerNetwork
    batch = kind(art, threads=1).run(values, lengths)
    return {name: getattr(batch, name) for name in ("logits", "labels", "saturations", "spikes")}


def golden_vectors(art, values: np.ndarray, lengths: np.ndarray) -> list[dict]:
    """The traces of a vector file."""
    return [vars(t) for t in vectors.make(art, values, lengths).traces]


def answers(art, logits: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """What a head says of pairs of sequences."""
    return vars(head.answers(art, logits, lengths))


def proven(art) -> list:
    """Lowest and highest of the states' proven ranges by layer; of gated ones the magnitude."""
    if is_spiking(art):
        return [[float(low.min()), float(high.max())] for low, high in (
            ranges.proven(layer, art.length, art.rounding) for layer in art.layers)]
    return [gated_ranges.proven(layer, art.length, art.rounding) for layer in art.layers]


# --- hardware ------------------------------------------------------------------------------------

def lanes(art) -> list[int]:
    """Every number of lanes that fits; raises for an artifact that hardware refuses."""
    return Geometry.of(art, HardwareConfig(1)).allowed()


def hardware(art, count: int, lengths: list[int]) -> tuple[list[tuple[int, int]], dict]:
    """Writes of the memory image, and what is predicted of the cycles."""
    hw = HardwareConfig(count)
    found = cycles.predict(art, hw, lengths)
    return image.writes(Core(art, hw)), {
        "results": found.results, "cycles_per_step": float(found.cycles_per_step),
        "roofline": found.roofline}


def rtlil(art, count: int) -> str:
    """The core in Amaranth's output format, of which yosys makes the Verilog."""
    return backend.convert(Core(art, HardwareConfig(count)), name="core", emit_src=False)


# --- quantisation-aware model --------------------------------------------------------------------

def model(art) -> torch.nn.Module:
    """The quantisation-aware model of an artifact's integers, float64."""
    if is_spiking(art):
        return qat.QuantNetwork(convert.to_folded(art), convert.formats_of(art)).double()
    return gated_qat.GatedQuantNetwork(gated_convert.to_folded(art), art.formats).double()


def values_of(art, raw: torch.Tensor) -> torch.Tensor:
    """Raw samples as the model takes them, float64; tokens as they are."""
    return raw if art.vocab else raw.double() * 2.0 ** -art.edge.sample.f_bits


def recurrence(net, art, values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Logits of the recurrent form with the artifact's own random words."""
    with torch.no_grad():
        return net(values, lengths, form="recurrence", draws=LfsrDraws(art))


def logit_bits(art) -> int:
    """Fraction bits of the reference's logits, or of the head's."""
    return (art.head.fmt.b2 if has_head(art) else art.edge.dec_b).f_bits


# --- golden networks -----------------------------------------------------------------------------

def network_names() -> list[str]:
    """Of all frozen checkpoints."""
    with zipfile.ZipFile(HERE / "checkpoints.zip") as file:
        return [Path(name).stem for name in file.namelist()]


def load_network(name: str):
    """A frozen checkpoint: ``network`` (float64, evaluation mode) and ``task``."""
    with tempfile.TemporaryDirectory() as folder, \
            zipfile.ZipFile(HERE / "checkpoints.zip") as file:
        found = checkpoints.load(Path(file.extract(f"{name}.pt", folder)))
    found.network.double()
    return found


def load_shipped(name: str):
    """A shipped checkpoint by its file's name, float32."""
    return checkpoints.load(SHIPPED / f"{name}.pt")


def shipped_names() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.pt") if not path.stem.endswith(".qat"))


def fresh(net) -> torch.nn.Module:
    """A new network of the same configuration."""
    return models.build(net.cfg)


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
    if cfg.neuron == "sampler" and not cfg.branch:
        found |= {"spiking": operations.total(operations.spiking(cfg, rates)),
                  "dense": operations.total(operations.dense(cfg)),
                  "paper, dense": operations.paper_counting(cfg, None)}
    if cfg.neuron in ("sampler", "lif") and not cfg.branch:
        found |= {"lif behind an SSM": operations.total(operations.lif(cfg, rates, True)),
                  "lif alone": operations.total(operations.lif(cfg, rates, False)),
                  "paper": operations.paper_counting(cfg, rates)}
    return {name: [float(number) for number in astuple(count)] for name, count in found.items()}


def exported(found, values: torch.Tensor, lengths: torch.Tensor, extremes=None):
    """The artifact of a network, in float64: estimate norms, fold, fit, quantise, check.

    values, lengths : the batch that the norms' statistics come from.
    """
    task, config = found.task, QuantConfig()
    train, system = task.load("train"), system_of(found.network.cfg)
    with contextlib.redirect_stdout(io.StringIO()):
        found = diagonalise.ready(found, train)
    torch.manual_seed(0)
    norms.reestimate(found.network, [(values, lengths)])
    folded = system.fold(found.network)
    torch.manual_seed(0)
    seen = system.seen(folded, train, task, np.arange(16))
    net = system.model(folded, system.fit(folded, seen, config, task.sample_format, task.length))
    art = system.to_artifact(net, "frozen", task.length, exporting.SEED, {})
    system.check_seen(seen, art, config.margin)
    return art


def converted(found, name: str):
    """The artifact of a shipped network without any data: the file's statistics, given ranges."""
    system, cfg = system_of(found.network.cfg), found.network.cfg
    folded = system.fold(found.network.double())
    shape = cfg.n_blocks, 2, cfg.d_model, cfg.n_modes
    seen = Extremes(np.full(shape, -2.5), np.full(shape, 2.5), np.full(cfg.d_model, -3.0),
                    np.full(cfg.d_model, 3.0))
    net = system.model(folded, system.fit(folded, seen, QUANT_CONFIGS[shipped_config(name)],
                                          found.task.sample_format, found.task.length))
    return system.to_artifact(net, "frozen", found.task.length, exporting.SEED, {})


def whole_export(found, name: str):
    """What ``python -m quant.export`` makes of a shipped network, with its fine-tuned weights."""
    tuned = SHIPPED / f"{name}.qat.pt"
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return exporting.export(found, Path(folder) / "out", QUANT_CONFIGS[shipped_config(name)],
                                n=0, n_vectors=0, qat=tuned if tuned.exists() else None)


def state_digest(net) -> str:
    """As fine-tuned weights name the network that they belong to."""
    return finetune.state_digest(net)


# --- the released code's outputs -----------------------------------------------------------------

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
