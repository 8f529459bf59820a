"""What a board says it is, and which networks it can take by that."""

import pytest

from golden.base.qformat import SQ, UQ
from quant.formats import LayerFormats, StreamFormats
from quant.integer.synthetic import random_artifact
from rtl.link.identity import Identity, IdentityError, shape_digest
from rtl.parts.config import HardwareConfig
from rtl.plan import plan
from tests.rtl.link_bench import IDENTITY


def test_identities_of_others():
    raw = IDENTITY.pack()
    with pytest.raises(IdentityError, match="says"):
        Identity.unpack(b"else" + raw[4:])
    with pytest.raises(IdentityError, match="version 9"):
        Identity.unpack(raw[:4] + b"\x09" + raw[5:])


def test_the_shape_decides_what_can_be_uploaded():
    def of(lanes=2, **options):
        shape = dict(seed=1, n_layers=2, H=2, n=2, n_classes=3, length=9) | options
        return shape_digest(plan(random_artifact(**shape), HardwareConfig(lanes)))
    assert of(seed=2) == IDENTITY.shape
    others = [of(lanes=4), of(H=3), of(n_classes=4), of(length=10), of(residual="plain"),
              of(rounding="half_even"), of(act="identity")]
    assert len({IDENTITY.shape, *others}) == len(others) + 1


# What of a kind of network is in no memory: a core has one of each, and takes no network with
# the other. name: options, and options that differ from them.
CONSTANTS = {
    "glu": (dict(kind="glu"), [
        dict(fires_at_zero=False), dict(norm_position="post"), dict(residual="none"),
        dict(rounding="half_even"), dict(fmt=StreamFormats(index=SQ(5, 5))),
        dict(fmt=StreamFormats(sigmoid=UQ(1, 9))), dict(fmt=StreamFormats(u=SQ(5, 11)))]),
    "gsu": (dict(kind="gsu"), [
        dict(kind="glu"), dict(residual="none"), dict(fmt=StreamFormats(gelu_index=UQ(3, 7))),
        dict(fmt=StreamFormats(gate=SQ(6, 10))), dict(fmt=StreamFormats(n=SQ(3, 11)))]),
    "lif": (dict(kind="lif"), [
        dict(reset="zero"), dict(n=0), dict(act="gelu"),
        dict(fmt=LayerFormats(h=SQ(3, 12)))]),
    "lif, alone": (dict(kind="lif", n=0), [dict(reset="zero"), dict(act="gelu")]),
}


@pytest.mark.parametrize("kind", CONSTANTS)
def test_what_is_no_memory_decides_what_can_be_uploaded(kind):
    def of(seed=1, **more):
        options, shape = CONSTANTS[kind][0], dict(n_layers=2, H=4, n=2, n_classes=3, length=9)
        return plan(random_artifact(seed, **shape | options | more), HardwareConfig(2))
    mine, other = of(), of(seed=2)
    assert shape_digest(mine) == shape_digest(other) and mine.writes() != other.writes()
    others = [shape_digest(of(**more)) for more in CONSTANTS[kind][1]]
    assert len({shape_digest(mine), *others}) == len(others) + 1
    identity = Identity.of(mine, 48e6)
    assert Identity.unpack(identity.pack()) == identity and not identity.contradiction(other)
