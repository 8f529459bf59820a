"""What every artifact obeys, whatever its kind of network, and the error that says what it breaks."""

import numpy as np

from golden.base.cli import UserError
from quant.integer import lfsr
from quant.formats import ROUNDINGS, FormatError, QFormat


class ArtifactError(UserError):
    """An artifact that cannot be used; the message says what is wrong and what to do."""


def need(condition, text: str) -> None:
    if not condition:
        raise ArtifactError(text)


def choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """One of some names."""
    need(value in allowed, f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def inside(name: str, raw: np.ndarray, fmt: QFormat, shape: tuple) -> None:
    """Shape and range of one tensor."""
    need(raw.shape == shape, f"{name}: shape {raw.shape}, expected {shape}")
    try:
        fmt.check(raw, name) if raw.size else None
    except FormatError as error:
        raise ArtifactError(str(error)) from None


def common(art) -> None:
    """Layers, counts, rounding, seed and random streams of either kind of artifact."""
    need(art.layers, "the artifact has no layers")
    for name, least in (("n_classes", 1), ("length", 1), ("vocab", 0)):
        value = getattr(art, name)
        need(type(value) is int and value >= least,
             f"{name} must be a whole number of at least {least}, not {value!r}")
    choice("rounding", art.rounding, ROUNDINGS)
    need(art.rounding != "stochastic" or art.random.round_bits > 0,
         "round_bits must be at least 1 for stochastic rounding, not 0")
    need(type(art.seed) is int and 0 < art.seed < 1 << art.random.width,
         f"seed must be in 1..2**{art.random.width} - 1, not {art.seed!r}")
    why = lfsr.misfit(art.random, art.length, len(art.layers), art.H, art.n)
    need(not why, why)
    for number, layer in enumerate(art.layers):
        a_bar = layer.fmt.a_bar
        need(art.rounding != "stochastic" or a_bar.f_bits > art.random.round_bits,
             f"layer {number}: a_bar {a_bar} needs more than {art.random.round_bits} fraction "
             f"bits for stochastic rounding")


def stable(number: int, layer) -> None:
    """Every mode of a layer lies inside the unit circle."""
    radius = layer.a_re.astype(object) ** 2 + layer.a_im.astype(object) ** 2
    bad = np.argwhere(radius >= 1 << 2 * layer.fmt.a_bar.f_bits)
    need(not len(bad), f"layer {number}, a_bar: {len(bad)} of {radius.size} modes have |A_bar| "
                       f">= 1, first at neuron, mode {bad[0] if len(bad) else ''}")
