"""The kinds of networks that are drawn, ``quant.integer.synthetic.KINDS``; one entry for each."""

from collections.abc import Callable
from dataclasses import dataclass

from golden.base.qformat import QFormat
from quant.formats import ROUNDINGS, SCALE, Formats, LayerFormats, StreamFormats
from quant.integer import sampling
from quant.integer.membrane import RESETS
from quant.integer.spiking import ACTS, RESIDUALS
from sim.fuzzing import samplers, streams


@dataclass(frozen=True)
class Kind:
    """What fuzzing knows of a kind.

    The functions take a :class:`sim.fuzzing.shape.Shape` and its layers' formats.

    options : values of each option of ``random_artifact``, the simplest first; formats : class of a
    layer's formats; draw : such formats, for a :class:`sim.fuzzing.dice.Dice` and options; x : of
    what flows between blocks; enters : of what enters the states; rules : the kind's own, whether
    each is kept; sums : formats that 64 bits must hold; modes : of a neuron, drawn from these;
    may_lack : formats that a layer may be without.
    """

    options: dict[str, tuple]
    formats: type[Formats]
    draw: Callable[..., Formats]
    x: Callable[..., QFormat]
    enters: Callable[..., QFormat]
    rules: Callable[..., dict[str, bool]]
    sums: Callable[..., list[QFormat]]
    modes: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16)
    may_lack: tuple[str, ...] = ()

    def usual(self, given: dict[str, str]) -> dict[str, str]:
        """The usual formats of a layer with the optional ones of ``given``, as text."""
        there = {name: str(SCALE) for name in self.may_lack if name in given}
        return self.formats().to_dict() | there


_SAMPLERS = dict(formats=LayerFormats, draw=samplers.draw, x=samplers.x, enters=samplers.enters,
                 may_lack=("a", "gain"))
_ENDINGS = {"act": ("identity", *(act for act in ACTS if act != "identity")),
            "residual": RESIDUALS, "rounding": ROUNDINGS[::-1]}
_STREAMS = dict(formats=StreamFormats, draw=streams.draw, x=streams.x, enters=streams.enters,
                rules=streams.rules, sums=streams.sums)
_STREAM = {"residual": ("none", "plain"), "norm_position": ("post", "pre"),
           "rounding": ROUNDINGS[::-1], "fires_at_zero": (True, False)}

KINDS = {
    # P-SpikeSSM of the paper and, with a GELU before the sampler (``a``) or in the mixer and a
    # norm's gain, of the released code: its norm in front folds into alpha, the one behind is gain.
    "paper": Kind({**_ENDINGS, "sampling": sampling.FORMS}, rules=samplers.sampler_rules,
                  sums=samplers.sums, **_SAMPLERS),
    "glu": Kind({**_STREAM, "neuron": ("step", "ternary")}, **_STREAMS),
    "gsu": Kind({**_STREAM, "neuron": ("ternary", "step")}, **_STREAMS),
    "lif": Kind({**_ENDINGS, "reset": RESETS}, rules=samplers.membrane_rules,
                sums=samplers.membrane_sums, modes=(0, 0, 1, 2, 3, 4, 8, 16), **_SAMPLERS)}
