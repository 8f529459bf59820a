"""What an artifact must keep: every rule names layer, operation, tensor and rule."""

from dataclasses import fields, replace

import numpy as np
import pytest

from golden.base.qformat import SQ, UQ, FormatError
from quant.formats import LayerFormats
from quant.integer.artifact import ArtifactError
from quant.integer.memory import States
from quant.integer.operation import Tensor
from quant.integer.ops import Limit, Mix, Scale, Step, Table, Ternary
from quant.integer.spiking import Layer
from quant.integer.synthetic import random_artifact
from tests.quant import stream
from tests.quant.toy import changed, place_of, with_op


@pytest.mark.parametrize("name", [f.name for f in fields(Layer) if f.name != "fmt"])
def test_wrong_shape_or_value_is_named(name):
    art = random_artifact(1, residual="plain", gelu_out=True, gain=True, block=2)
    raw = getattr(art.spiking.layers[1], name)
    of = {"negate": "a", "shift": "shift", "alpha": "a", "beta": "b", "addend": "b",
          "gain": "a"}.get(name, name)
    with pytest.raises(ArtifactError, match=rf"layer 1, \w+ \(.*\), {of}: shape .* expected"):
        changed(art, 1, **{name: raw[:-1]}).check()
    outside = raw.copy()
    outside.flat[0] = 1 << 40
    with pytest.raises(ArtifactError, match=rf"layer 1, \w+ \(.*\), {of}: 1 of {raw.size} values "
                                            rf"outside .*Q.* seen \[.*\d{{13}}"):
        changed(art, 1, **{name: outside}).check()


@pytest.mark.parametrize("re, im, ok", [(32767, 0, True), (-32768, 0, False), (0, -32768, False),
                                        (23170, 23170, True), (23171, 23170, False)])
def test_unstable_modes(re, im, ok):
    art = random_artifact(1)
    a_re, a_im = art.spiking.layers[1].a_re.copy(), art.spiking.layers[1].a_im.copy()
    a_re[3, 2], a_im[3, 2] = re, im
    wrong = changed(art, 1, a_re=a_re, a_im=a_im)
    if ok:
        wrong.check()
    else:
        with pytest.raises(ArtifactError, match=r"layer 1, .*a_bar: 1 of 32 modes .* \[3 2\]"):
            wrong.check()


def test_formats_that_do_not_fit_together():
    art = random_artifact(1, residual="plain")
    with pytest.raises(ArtifactError, match="layer 1: x is SQ.7,12., it must have one format in "):
        changed(art, 1, fmt=LayerFormats(x=SQ(7, 12))).check()
    with pytest.raises(ArtifactError, match="needs more fraction bits than the 8 of stochastic"):
        random_artifact(1, fmt=LayerFormats(a_bar=SQ(1, 8)))
    with pytest.raises(ArtifactError, match="more fraction bits than a_bar"):
        random_artifact(1, fmt=LayerFormats(a_bar=SQ(1, 9), h=SQ(2, 2), drive=SQ(2, 2)))


BINARY, GSU = stream.artifact(), stream.artifact("gsu")


@pytest.mark.parametrize("number, kind, makes, change, text", [
    (0, Limit, "u", {"to": SQ(4, 40)}, "more fraction bits than its sum"),
    (0, States, None, {"h": SQ(4, 40)}, "fewer fraction bits than h"),
    (0, Table, None, {"index": SQ(4, 3)}, "1024 entries, an index SQ.4,3. has 128"),
    (0, Limit, "gate", {"to": SQ(4, 3)}, "index SQ.4,6. must be the format SQ.4,3. of what"),
    (0, Table, None, {"kind": "tanh"}, "kind must be sigmoid or gelu, not 'tanh'"),
    (0, Table, None, {"table": np.zeros(3, int)}, "3 entries, an index .* has 1024"),
    (0, Mix, "gate", {"shift": np.full(6, 16)}, "shift: 6 of 6 values outside"),
    (0, Mix, "n", {"shift": None}, "bias SQ.* must have the fraction bits of w .* times UQ"),
    (0, Limit, "x", {"to": SQ(9, 12)}, "layer 1: x is SQ.9,12., it must have one format"),
    (0, Step, None, {"fires_at_zero": 2}, "fires_at_zero must be true or false, not 2"),
    (0, Scale, None, {"a": Tensor(np.zeros(6, int), SQ(16, 0))}, "b SQ.* more fraction bits than"),
    (1, Ternary, None, {"threshold": np.array(256)}, "threshold: 1 of 1 values outside"),
    (1, Limit, "y_in", {"to": SQ(4, 3)}, "must have at least the 12 fraction bits of index"),
    (1, Mix, "gate", {"w": np.zeros((5, 6), int)}, r"w: shape \(5, 6\), expected"),
])
def test_operations_that_do_not_fit_together(number, kind, makes, change, text):
    art = (BINARY, GSU)[number]
    with pytest.raises(ArtifactError, match=text):
        with_op(art, place_of(art, 1, kind, makes), **change).check()


def test_the_encoder_is_checked():
    first = BINARY.first[0]
    for change, text in (({"a": first.a.raw[:2]}, r"a: shape \(2,\), expected \(6,\)"),
                         ({"a": Tensor(first.a.raw, SQ(20, 0))}, "b SQ.* more fraction bits than")):
        with pytest.raises(ArtifactError, match=rf"encoder, Scale \(v -> x\).* {text}"):
            with_op(BINARY, "first.0", **change).check()
    with pytest.raises(ArtifactError, match=r"encoder, Embed .*table: shape \(9, 7\), expected"):
        tokens = random_artifact(1, vocab=9)
        with_op(tokens, "first.0", table=tokens.first[0].table.raw[:, 1:]).check()


def test_a_block_needs_its_state_space_model():
    blocks = BINARY.blocks[0], tuple(o for o in BINARY.blocks[1] if not isinstance(o, States))
    with pytest.raises(ArtifactError, match="no layers, or one without a memory .States, Int"):
        replace(BINARY, blocks=blocks).check()
    with pytest.raises(ArtifactError, match=r"reads y, which nothing makes before it"):
        replace(BINARY, blocks=(BINARY.blocks[0], tuple(
            replace(o, wiring="u -> w") if isinstance(o, States) else o
            for o in BINARY.blocks[1]))).check()


def test_formats_say_of_which_tensor():
    art = random_artifact(0, gelu_out=True)
    with pytest.raises(ArtifactError, match=r"layer 0, Scale \(v -> p_out\), a: shape \(0,\), "
                                            r"expected \(8,\)"):
        changed(art, 0, a=np.zeros(0, np.int64)).check()
    with pytest.raises(FormatError, match="addend SQ.6,11. must have the 12 fraction bits"):
        replace(art.spiking.layers[0].fmt, addend=SQ(6, 11))


def test_a_shift_that_no_sum_can_have():
    """A format of two to the power of 60 bits would be made of it."""
    art = random_artifact(1)
    for fmt in (UQ(30, 30), UQ(7, 0), SQ(5, 0)):
        with pytest.raises(ArtifactError, match="must hold 0 to 63 at most"):
            with_op(art, place_of(art, 0, Mix), shift=Tensor(np.zeros(8, int), fmt)).check()
