"""The mixer with tables against the operations from Mix on: shapes, stalls, timing, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from golden.base.qformat import SQ
from quant.formats import LayerFormats, StreamFormats
from quant.integer.operation import Tensor
from quant.integer.ops import Mix
from quant.integer.synthetic import random_artifact
from rtl.layer.mixer import Mixer
from rtl.layer.mixers import make
from rtl.layer.table_build import spacing
from rtl.layer.table_mixer import TableMixer
from rtl.parts.config import HardwareConfig, HardwareError
from rtl.plan import plan
from tests.rtl.test_mixer import expected, forgets, matches, pausing, run, stimulus

W7 = dict(fmt=LayerFormats(w=SQ(7, 0)))
WIDE = dict(fmt=LayerFormats(w=SQ(7, 0), x=SQ(3, 12)))
GLU = dict(fmt=StreamFormats(w=SQ(7, 0)))

# name: artifact, lanes
CASES = {
    "words of one": (dict(H=6, n=2, residual="none"), 2),
    "slow engine": (dict(H=8, n=4, residual="clampfuse", act="identity"), 1),
    "odd": (dict(H=5, n=3, residual="plain"), 1),
    "words of two": (dict(H=6, n=2, residual="plain", act="identity"), 4),
    "one word of two": (dict(H=2, n=2, residual="plain"), 4),
    "many words": (dict(H=20, n=2, residual="none", act="identity"), 2),
    "many words of two": (dict(H=40, n=2, residual="clampfuse"), 4),
    "single neuron": (dict(H=1, n=2, residual="clampfuse"), 2),
    "stress": (dict(H=8, n=2, residual="plain", stress=0.5), 4),
    "gelu": (dict(H=4, n=2, residual="replace", act="gelu"), 2),
    "glu": (dict(kind="glu", H=6, n=2), 2),
    "lif": (dict(kind="lif", H=6, n=2), 2),
}
BLOCKS = [case for case in CASES if "of two" not in case and case not in ("odd", "single neuron",
                                                                          "stress")]


def mixer(case, seed=3, number=1, P=1, kind="tables"):
    shape, lanes = CASES[case]
    shape = (WIDE if case == "stress" else GLU if shape.get("kind") == "glu" else W7) | shape
    art = random_artifact(seed, block=P, **shape)
    made = make(plan(art, HardwareConfig(lanes, mixer=kind)).layers[number])
    assert isinstance(made, TableMixer) == (kind != "columns")
    return made


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("case, P", [(case, 1) for case in CASES] + [(case, 2) for case in BLOCKS])
def test_matches_model(case, P, stall):
    counts = matches(mixer(case, P=P), stall)
    assert case != "stress" or min(counts) > 0


@pytest.mark.parametrize("case", CASES)
def test_never_slower_than_the_engine(case):
    dut = mixer(case)
    assert dut.interval == dut.geo.words <= dut.geo.issue


@pytest.mark.parametrize("P", [1, 2])
@pytest.mark.parametrize("busy, idle", [(5, 17), (9, 40), (30, 60)])
def test_a_consumer_that_pauses(busy, idle, P):
    """The queue fills up while words of sums are on their way to it."""
    pausing(mixer("many words", P=P), busy, idle)


@pytest.mark.parametrize("case", ["odd", "words of two"])
def test_nothing_is_left_after_a_reset(case):
    forgets(mixer(case))


def test_written_weights_count():
    """Every weight and bias over the bus, as near to each other as may be."""
    dut, other = mixer("glu"), mixer("glu", seed=6)
    regions = [region for name, region in other.spec.regions.items()
               if name.startswith(("mixer", "fuse"))]
    writes = [pair for region in regions for pair in region.writes()]
    s, x = stimulus(dut)
    width = dut.spec.cut.mixes[0].op.w.fmt.width
    got, _ = run(dut, s, x, writes=writes, apart=lambda addr: spacing(width))
    assert got["o"] == expected(other, s, x)[0] != expected(dut, s, x)[0]


def with_weights(w: int, fmt) -> object:
    """An artifact whose weights are all the same."""
    art = random_artifact(1, H=4, n=2, **W7)
    ops = [replace(op, w=Tensor(np.full(op.w.raw.shape, w), fmt)) if isinstance(op, Mix) else op
           for op in art.blocks[1]]
    return replace(art, blocks=(art.blocks[0], tuple(ops))).check()


REFUSED = {
    "values": (random_artifact(1, kind="gsu", H=4, n=2), 2,
               r"layer 0: Mix .* reads .*, tables are for spikes of one bit; or take --mixer "
               "columns"),
    "entries": (with_weights(64, SQ(8, 0)), 2,
                r"layer 1: Mix .*: four weights SQ\(8,0\) make 256, which an entry of 9 bits does "
                r"not hold; export with --weight-bits 7; or take --mixer columns"),
    "lower entries": (with_weights(-65, SQ(8, 0)), 2, "make -260, which"),
    "weights": (with_weights(1, SQ(9, 0)), 2, r"weights SQ\(9,0\) have more than 8 bits; export"),
    "lanes": (random_artifact(1, H=8, n=2, **W7), 8, "layer 0: tables give two sums a cycle, which "
              "is too slow for 8 lanes with 8 neurons of 2 modes; or"),
    "blocks": (random_artifact(1, H=8, n=2, block=2, **W7), 4, "too slow for 4 lanes with 8 "
               "neurons of 2 modes in blocks of two steps; or"),
    "neurons": (random_artifact(1, 1, H=257, n=1, **W7), 1,
                "layer 0: tables of 257 neurons do not fit block RAMs of 1024 rows; or"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what):
    """One line: what, why, what to do. Where they need not be, columns are taken."""
    art, lanes, message = REFUSED[what]
    with pytest.raises(HardwareError, match=message) as said:
        plan(art, HardwareConfig(lanes, mixer="tables"))
    assert "\n" not in str(said.value)
    found = plan(art, HardwareConfig(lanes, mixer="fitting")).layers
    assert not found[-1].tables and isinstance(make(found[-1]), Mixer)


def test_weights_of_8_bits_that_fit():
    for w in (63, -64):
        assert plan(with_weights(w, SQ(8, 0)), HardwareConfig(2, mixer="fitting")).layers[1].tables


def test_columns_are_the_default():
    assert type(mixer("odd", kind="columns")) is Mixer and HardwareConfig().mixer == "columns"
    with pytest.raises(HardwareError, match="mixer must be one of columns, tables, fitting, not x"):
        HardwareConfig(mixer="x")
