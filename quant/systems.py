"""What differs between the two kinds of network on the way to an artifact, behind one set of names.

``SPIKING`` is P-SpikeSSM; ``GATED`` is Binary S4D and the gated spiking unit.
"""

from collections.abc import Callable
from dataclasses import dataclass

from golden import norms
from golden.config import NetworkConfig
from quant import gated_artifact, gated_convert, gated_fit, gated_fold, gated_formats, gated_network, gated_qat, gated_ranges, gated_reference
from quant.integer import artifact, network, vectors
from quant.lower import passes as fold
from quant.tune import convert, fit, qat, ranges, tables


@dataclass(frozen=True)
class System:
    """The functions of one kind; each is documented where it is defined."""

    check_config: Callable      # (configuration)
    reestimate: Callable        # (golden network, batches)
    fold: Callable              # (golden network) -> folded
    seen: Callable              # (folded, split, task, indices) -> extremes
    fit: Callable               # (folded, extremes, QuantConfig, sample format, length) -> formats
    formats: Callable           # (dict) -> formats
    model: Callable             # (folded, formats) -> quantisation-aware model
    to_artifact: Callable       # (model, task, length, seed, info) -> artifact
    to_folded: Callable         # (artifact) -> folded
    check_seen: Callable        # (extremes, artifact, margin)
    constants: Callable         # (artifact) -> rows of the export's table
    report: Callable            # (artifact, extremes) -> rows of the export's table
    integers: Callable          # (artifact) -> the fast integer network
    saturations: Callable       # (its batch) -> per layer, for the report
    save: Callable              # (artifact, folder)
    vectors: Callable | None    # golden vectors for hardware, if there is any


def _saturations(batch) -> list[dict[str, int]]:
    return [dict(zip(gated_reference.COUNTED, row)) for row in batch.saturations.sum(0).tolist()]


SPIKING = System(
    fold.check_config, norms.reestimate, fold.fold, ranges.seen, fit.fit,
    fit.NetworkFormats.from_dict, qat.QuantNetwork, convert.to_artifact, convert.to_folded,
    lambda extremes, art, margin: ranges.check_seen(extremes, convert.formats_of(art), margin,
                                                    art.streams),
    tables.constants, ranges.report, network.IntegerNetwork,
    lambda batch: batch.saturations.sum(0).tolist(), artifact.save, vectors.make)

GATED = System(
    gated_fold.check_config, norms.reestimate, gated_fold.fold, gated_ranges.seen,
    gated_fit.fit, gated_formats.GatedNetworkFormats.from_dict, gated_qat.GatedQuantNetwork,
    gated_convert.to_artifact, gated_convert.to_folded, gated_ranges.check_seen,
    gated_ranges.constants, gated_ranges.report, gated_network.GatedIntegerNetwork, _saturations,
    gated_artifact.save, None)


def system_of(cfg: NetworkConfig) -> System:
    """The kind of a golden network's configuration."""
    return GATED if cfg.neuron in ("heaviside", "gelu") else SPIKING
