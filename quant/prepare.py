"""From a checkpoint to the quantisation-aware model: what export and fine-tuning share."""

import argparse
import copy
from dataclasses import dataclass, replace

import numpy as np
import torch

from golden.training.batches import batch_of, longest
from golden.checkpoint import Checkpoint
from golden.memory import batch_for
from golden.model import norms
from golden.tasks import Split
from quant.formats import QUANT_CONFIGS, ROUNDINGS, QuantConfig, shipped_config
from quant.integer.program import BLOCKS, Program
from quant.integer.sampling import FORMS
from quant.lower import diagonalise
from quant.lower.passes import fold
from quant.lower.steps import check
from quant.tune import ranges
from quant.tune.fit import Extremes, fit
from quant.tune.qat import QuantNetwork

SEQUENCES = {"norms": 1024, "ranges": 128}   # of the training split
WIDTHS = {"coef_bits": "bits of A_bar", "g_bits": "bits of g", "state_bits": "bits of a state",
          "state_i_bits": "its integer bits; default: fitted to the seen range",
          "weight_bits": "bits of a mixer weight", "p_bits": "fraction bits of p",
          "decoder_bits": "bits of a decoder weight", "input_bits": "bits of a real SSM input",
          "factor_bits": "bits of a gate's factors", "table_bits": "bits of a gate's table index"}


@dataclass(frozen=True)
class Prepared:
    """A folded network with what was measured on the training split."""

    found: Checkpoint       # with diagonal layers and final norms
    folded: Program
    seen: Extremes

    def model(self, config: QuantConfig) -> QuantNetwork:
        """The quantisation-aware model with formats of these widths."""
        return QuantNetwork(fit(self.folded, self.seen, config, self.found.task.sample_format))


def ready(found: Checkpoint, train: Split, sequences: int = 8) -> Checkpoint:
    """The checkpoint as :func:`quant.lower.passes.fold` takes it; says what became of DPLR layers.

    Says too when encoder and decoder have start values, because an imported file had none. Raises
    ``FoldError`` for what integers have not.
    """
    check(found.network)
    fresh = found.info.get("start_values")
    if fresh:
        print(f"{' and '.join(fresh)} were not in the imported file and have start values: classes "
              f"mean nothing until they are trained (python -m quant.finetune --checkpoint)")
    return diagonalise.prepare(found, lambda: diagonalise.encoded(found.network, train, found.task,
                                                                  sequences))


def reestimated(found: Checkpoint, train: Split, count: int) -> Checkpoint:
    """The checkpoint with batch-norm statistics of ``count`` training sequences; deterministic."""
    torch.manual_seed(0)
    found = replace(found, network=copy.deepcopy(found.network))
    chosen = np.sort(np.random.default_rng(0).permutation(len(train))[:count])
    size = batch_for(64, train.lengths, found.network.cfg.d_model)
    norms.reestimate(found.network, [batch_of(train, chosen[k:k + size], found.task)
                                     for k in range(0, len(chosen), size)])
    return found


def measure(folded: Program, train: Split, task, count: int) -> Extremes:
    """Ranges of the states over ``count`` sequences of the training split; deterministic."""
    torch.manual_seed(0)
    chosen = np.random.default_rng(1).permutation(len(train))[:count]
    by_length = chosen[np.argsort(longest(train.lengths[chosen]), kind="stable")]
    return ranges.seen(folded, train, task, by_length)


def prepare(found: Checkpoint, train: Split, count: dict[str, int] = SEQUENCES) -> Prepared:
    """Re-estimate, fold, and measure the states' ranges; ``found`` as :func:`ready` gives it."""
    found = reestimated(found, train, count["norms"])
    folded = fold(found.network)
    return Prepared(found, folded, measure(folded, train, found.task, count["ranges"]))


def add_width_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose a :class:`quant.formats.QuantConfig`; read them with ``config_of``."""
    parser.add_argument("--config", choices=QUANT_CONFIGS, help="set of widths to start from; "
                        "default: that of the shipped network, else the one named default")
    for name, what in WIDTHS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=what)
    parser.add_argument("--margin", type=float, help="how many times the range that was seen a "
                        "format must hold (default 1.5); before fine-tuning, which moves ranges, "
                        "take more")
    parser.add_argument("--rounding", choices=ROUNDINGS, help="how the state is rounded")
    parser.add_argument("--block", type=int, choices=BLOCKS, help="steps per update of the states; "
                        "default 1, with fine-tuned weights as they were tuned")
    parser.add_argument("--one-format", action="store_true", default=None,
                        help="give all layers the same formats, so that one can be folded onto "
                        "another in hardware")
    parser.add_argument("--sampling", choices=FORMS,
                        help="how spikes are drawn; default: as the network was trained")


def config_of(args, name: str = "") -> QuantConfig:
    """The widths of parsed arguments; ``FormatError`` for one out of range.

    Without ``--config`` they start from those of the network shipped as ``name``.
    """
    given = {key: getattr(args, key) for key in (*WIDTHS, "margin", "rounding", "block",
                                                 "one_format")}
    config = QUANT_CONFIGS[args.config or shipped_config(name)]
    return replace(config, **{k: v for k, v in given.items() if v is not None})
