"""How the frozen artifacts were drawn, see ``tests.frozen.inputs``."""

import itertools
from dataclasses import replace

import numpy as np
import torch

from golden.config import NetworkConfig
from golden.gated import GatedNetwork
from golden.norms import reestimate
from quant import gated_ranges
from quant.tune.fit import LONG
from golden.base.qformat import SQ, UQ
from quant.formats import SCALE, EdgeFormats, LayerFormats, QuantConfig, RandomFormat
from quant.gated_convert import to_artifact
from quant.gated_fit import fit
from quant.gated_fold import fold
from quant.gated_qat import GatedQuantNetwork
from quant.integer.synthetic import random_artifact
from tests.frozen import tasks

LENGTH = 48
SAMPLES = {"pixel": UQ(0, 8), "signed": SQ(1, 7), "sound": SQ(1, 15), "tokens": None}
RANDOM = {"short": RandomFormat(), "long": LONG,
          "uncentred": RandomFormat(k=7, centred=False, round_bits=5),
          "coarse": RandomFormat(k=6, round_bits=3)}
SHAPES = {"N2H8n4": (2, 8, 4), "N1H4n8": (1, 4, 8), "N3H6n2": (3, 6, 2), "N4H16n1": (4, 16, 1)}
# Formats of the layers, and of enc_w, enc_b and dec_w
WIDTHS = {
    "usual": (LayerFormats(), (SQ(4, 12), SQ(4, 12), SQ(2, 6))),
    "narrow": (LayerFormats(
        a_bar=SQ(1, 9), g=SQ(2, 6), h=SQ(3, 7), drive=SQ(4, 7), w=SQ(4, 0), shift=UQ(2, 0),
        bias=SQ(4, 6), addend=SQ(4, 6), p=UQ(1, 6), x=SQ(3, 6), alpha=SQ(2, 5), beta=SQ(3, 8)),
        (SQ(2, 5), SQ(2, 7), SQ(2, 3))),
    "wide": (LayerFormats(
        a_bar=SQ(1, 19), g=SQ(3, 20), h=SQ(5, 17), drive=SQ(6, 17), w=SQ(10, 0), shift=UQ(4, 0),
        bias=SQ(7, 16), addend=SQ(7, 16), p=UQ(1, 16), x=SQ(7, 16), alpha=SQ(4, 14),
        beta=SQ(6, 18)), (SQ(4, 14), SQ(4, 18), SQ(3, 9))),
}
USUAL = {"act": "relu", "rounding": "stochastic", "sampling": "bernoulli", "values": "pixel",
         "random": "short", "widths": "usual", "shape": "N2H8n4", "at_zero": "fires"}
# What hardware can do
HARDWARE = {
    "residual": ("clampfuse", "none", "plain"), "act": ("relu", "identity"),
    "rounding": ("stochastic", "half_even"), "sampling": ("bernoulli", "sobol", "systematic"),
    "values": tuple(SAMPLES), "random": tuple(RANDOM), "widths": tuple(WIDTHS),
    "shape": tuple(SHAPES), "stress": ("", "stress"),
    "head": ("", "head")}
# What only the integer network can do, with everything that meets it
INTEGERS = {
    "residual": ("clampfuse", "none", "plain", "replace"), "act": ("gelu", "relu", "identity"),
    "a": ("a", ""), "gain": ("gain", ""), "rounding": ("stochastic", "half_even"),
    "sampling": ("bernoulli", "sobol", "systematic"), "values": ("pixel", "signed", "tokens"),
    "random": ("short", "long", "uncentred"), "widths": tuple(WIDTHS),
    "shape": ("N2H8n4", "N3H6n2", "N1H4n8"), "stress": ("", "stress"), "head": ("", "head")}
GATED = {
    "kind": ("glu-pre", "glu-post", "gsu-pre", "gsu-post"), "residual": ("plain", "none"),
    "at_zero": ("fires", "strict"), "rounding": ("stochastic", "half_even"),
    "values": ("pixel", "signed", "tokens"), "widths": ("usual", "narrow", "compact"),
    "shape": ("N2H6n2", "N1H3n1", "N3H8n4")}
GATED_WIDTHS = {
    "usual": QuantConfig(),
    "compact": QuantConfig(coef_bits=12, g_bits=10, state_bits=14, weight_bits=7, shift_bits=5,
                           p_bits=8, table_bits=8),
    "narrow": QuantConfig(coef_bits=12, g_bits=8, state_bits=9, weight_bits=4, p_bits=6,
                          input_bits=9, factor_bits=9, table_bits=6, margin=0.6)}


def covering(options: dict[str, tuple], seed: int) -> list[dict]:
    """Few choices in which any two values of two options meet; the first choice is all firsts."""
    rng = np.random.default_rng(seed)

    def pairs(choice):
        return set(itertools.combinations(sorted(choice.items()), 2))

    found = [{name: values[0] for name, values in options.items()}]
    missing = {tuple(sorted(((a, x), (b, y)))) for a, b in itertools.combinations(options, 2)
               for x in options[a] for y in options[b]} - pairs(found[0])
    while missing:
        needed = dict(sorted(missing)[0])
        drawn = [{name: values[rng.integers(len(values))] for name, values in options.items()}
                 | needed for _ in range(3000)]
        best = max(drawn, key=lambda choice: len(pairs(choice) & missing))
        found.append(best)
        missing -= pairs(best)
    return found


def name_of(choice: dict) -> str:
    """What is special about a choice."""
    return "-".join(value for option, value in choice.items()
                    if value and value != USUAL.get(option))


def spiking(number: int, choice: dict, **more):
    """The artifact of a choice of options; ``more`` goes to ``random_artifact``."""
    layers, H, n = SHAPES[choice["shape"]]
    fmt, (enc_w, enc_b, dec_w) = WIDTHS[choice["widths"]]
    fmt = replace(fmt, a=SCALE if choice.get("a") else None,
                  gain=SCALE if choice.get("gain") else None)
    stream = fmt.x if choice["residual"] in ("plain", "replace") else fmt.p
    edge = EdgeFormats(SAMPLES[choice["values"]], enc_w, enc_b, dec_w,
                       SQ(8, dec_w.f_bits + stream.f_bits))
    options = {"length": LENGTH, "vocab": 7 if choice["values"] == "tokens" else 0,
               "stress": 0.15 if choice["stress"] else 0.0,
               "features": 3 if choice["head"] else 0} | more
    return random_artifact(number, layers, H, n, act=choice["act"], residual=choice["residual"],
                           rounding=choice["rounding"], sampling=choice["sampling"], fmt=fmt,
                           random=RANDOM[choice["random"]], edge=edge, **options)


def special() -> dict:
    """Artifacts that no table of options holds."""
    usual = {name: values[0] for name, values in HARDWARE.items()}
    plain = usual | {"residual": "plain"}
    one = spiking(900, plain)
    narrow = replace(one.layers[0].fmt, h=SQ(4, 10), drive=SQ(3, 10), g=SQ(3, 13), alpha=SQ(3, 10),
                     beta=SQ(4, 11), a_bar=SQ(1, 13), shift=UQ(3, 0))
    other = random_artifact(901, 1, 8, 4, residual="plain", length=LENGTH, fmt=narrow)
    return {
        "limits-lowest": spiking(902, usual, limits="lowest"),
        "limits-highest-plain-sobol": spiking(903, plain | {"sampling": "sobol"}, limits="highest"),
        "limits-zero-systematic": spiking(904, usual | {"sampling": "systematic"}, limits="zero"),
        "limits-lowest-wide-plain-half_even": spiking(
            905, plain | {"widths": "wide", "rounding": "half_even"}, limits="lowest"),
        "plain-a_format_for_each_layer": replace(one, layers=one.layers + other.layers).check(),
        "made_for_16384_steps-sobol": spiking(907, usual | {"sampling": "sobol"}, length=16_384),
        "all_at_limits-one_class": spiking(908, usual, stress=1.0, n_classes=1)}


def gated(number: int, choice: dict):
    """A folded, fitted and quantised network of Binary S4D or GSU that is not trained."""
    layers, H, n = (int(part) for part in choice["shape"].replace("H", " ").replace("n", " ")
                    .lstrip("N").split())
    kind, position = choice["kind"].split("-")
    task = {"pixel": tasks.Samples, "signed": tasks.Signed, "tokens": tasks.Tokens}[
        choice["values"]]()
    torch.manual_seed(number)
    strict = choice["at_zero"] == "strict"
    net = GatedNetwork(NetworkConfig(
        n_classes=3, n_blocks=layers, d_model=H, d_state=2 * n, dt_min=0.02, dt_max=0.5,
        vocab=task.vocab, residual=choice["residual"], norm_position=position, mixer=kind,
        neuron="heaviside" if kind == "glu" else "gelu", fires_at_zero=not strict,
        ternary_threshold=0.4 if strict else 0.15))
    split = task.load("train")
    values = torch.from_numpy(split.values)
    values = values if task.vocab else values.float() * 2.0 ** -task.sample_format.f_bits
    lengths = torch.from_numpy(split.lengths)
    with torch.no_grad():
        net.encoder.calibrate(values, lengths)
        for norm in net.norms():
            norm.beta.uniform_(-0.5, 0.5)
            norm.gamma.uniform_(-1.5, 1.5)
        for block in net.blocks:        # the first neuron always stands at 0: fires_at_zero shows
            block.ssm.C[0], block.ssm.D[0] = 0, 0
    reestimate(net, [(values, lengths)])
    folded = fold(net)
    seen = gated_ranges.seen(folded, split, task, np.arange(16))
    config = replace(GATED_WIDTHS[choice["widths"]], rounding=choice["rounding"])
    formats = fit(folded, seen, config, task.sample_format, LENGTH)
    return to_artifact(GatedQuantNetwork(folded, formats), "frozen", LENGTH, 0xACE1 + number, {})


def artifacts() -> dict:
    """All of them by name."""
    found = {}
    for first, options, make in ((100, HARDWARE, spiking), (200, INTEGERS, spiking),
                                 (300, GATED, gated)):
        for number, choice in enumerate(covering(options, first), first):
            found[name_of(choice)] = make(number, choice)
    return found | special()
