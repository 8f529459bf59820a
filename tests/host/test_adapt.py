"""A network in another one's formats."""

from dataclasses import replace

import numpy as np
import pytest

from host import adapt
from quant.integer import artifact
from quant.integer.artifact import ArtifactError
from golden.base.qformat import SQ, UQ
from quant.formats import LayerFormats, StreamFormats
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.link.identity import shape_digest
from rtl.plan import plan

SHAPE = dict(n_layers=2, H=4, n=2, n_classes=3, length=20)


def test_conversion_is_half_to_even_and_saturates():
    wide, narrow = SQ(3, 3), SQ(2, 1)
    every = np.arange(wide.lo, wide.hi + 1)
    art, like = (random_artifact(n_layers=1, H=8, n=8, fmt=LayerFormats(g=g))
                 for g in (wide, narrow))
    layer = replace(art.spiking.layers[0], g_re=every.reshape(8, 8), g_im=np.zeros((8, 8), int))
    art = replace(art, **replace(art.spiking, layers=(layer,)).parts()).check()
    made, saturated = adapt.adapt(art, like)
    got = made.spiking.layers[0].g_re.ravel()
    exact = np.rint(every / 4)
    np.testing.assert_array_equal(got, np.clip(exact, narrow.lo, narrow.hi))
    (name, count), = saturated.items()
    assert count == (np.clip(exact, narrow.lo, narrow.hi) != exact).sum() > 0
    assert name.startswith("layer 0, States") and name.endswith(", g_re")
    back, lost = adapt.adapt(made, art)
    np.testing.assert_array_equal(back.spiking.layers[0].g_re.ravel(), got * 4)
    assert not lost


def test_shape_is_the_other_one_s():
    art = random_artifact(1, **SHAPE)
    fmt = replace(LayerFormats(), g=SQ(3, 12), bias=SQ(10, 12))
    like = random_artifact(2, **SHAPE, fmt=fmt)
    made, saturated = adapt.adapt(art, like)
    digests = [shape_digest(plan(one, HardwareConfig(2))) for one in (art, like, made)]
    assert digests[0] != digests[1] == digests[2]
    assert artifact.digest(made) not in (artifact.digest(art), artifact.digest(like))
    old, new = art.spiking.layers[0], made.spiking.layers[0]
    step = 2.0 ** -new.fmt.g.f_bits
    moved = new.g_re * step - old.g_re * 2.0 ** -old.fmt.g.f_bits
    assert np.abs(moved).max() <= step / 2 and not saturated
    same, nothing = adapt.adapt(art, art)
    assert artifact.digest(same) == artifact.digest(art) and not nothing


@pytest.mark.parametrize("kind", ["glu", "gsu", "lif"])
def test_every_kind_takes_other_formats(kind):
    """A core for one takes the other, tables and thresholds too."""
    fmt = (LayerFormats(g=SQ(3, 12), h=SQ(3, 12)) if kind == "lif" else
           StreamFormats(g=SQ(3, 12), sigmoid=UQ(1, 8), gelu=UQ(0, 9), bias=SQ(3, 12)))
    art, like = random_artifact(1, kind=kind, **SHAPE), random_artifact(2, kind=kind, fmt=fmt,
                                                                       **SHAPE)
    made, _ = adapt.adapt(art, like)
    digests = [shape_digest(plan(one, HardwareConfig(2))) for one in (art, like, made)]
    assert digests[0] != digests[1] == digests[2]


@pytest.mark.parametrize("kind, index", [("glu", {"index": SQ(5, 5)}), ("glu", {"index": SQ(4, 4)}),
                                         ("gsu", {"gelu_index": UQ(3, 7)})])
def test_a_table_of_other_numbers_is_refused(kind, index):
    """Its entries would be taken for those of other arguments, in silence."""
    art, like = random_artifact(1, kind=kind, **SHAPE), random_artifact(
        2, kind=kind, fmt=StreamFormats(**index), **SHAPE)
    with pytest.raises(ArtifactError, match=r"^layer 0, Table \(.*\): index is .Q\(.,.\), but .*"
                                            r"--table-bits$"):
        adapt.adapt(art, like)


@pytest.mark.parametrize("other", [dict(H=6), dict(n_layers=1), dict(residual="plain"),
                                   dict(n_classes=4)])
def test_other_shapes_are_refused(other, tmp_path, capsys):
    art, like = random_artifact(1, **SHAPE), random_artifact(1, **SHAPE | other)
    with pytest.raises(ArtifactError, match="the other network"):
        adapt.adapt(art, like)
    artifact.save(art, tmp_path / "a")
    artifact.save(like, tmp_path / "b")
    assert adapt.main([f"--{k}={tmp_path / v}" for k, v in
                       (("artifact", "a"), ("like", "b"), ("out", "c"))]) == 2
    assert "the other network" in capsys.readouterr().err and not (tmp_path / "c").exists()
