"""The plan: what components hold, every refusal of the RTL, and no component behind any of it."""

import ast
import time
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import Fragment
from amaranth.lib import wiring

import rtl.plan
from golden.base.qformat import SQ, UQ
from golden.tasks.formats import PIXEL
from quant.formats import EdgeFormats, LayerFormats
from quant.integer.operation import ArtifactError
from quant.integer.ops import Curve
from quant.integer.future import Future
from quant.integer.synthetic import random_artifact
from rtl.boards import estimate
from rtl.boards.catalogue import BOARDS
from rtl.parts.config import HardwareConfig, HardwareError
from rtl.core import Core
from rtl.cycles import predict
from rtl.decoder import Decoder
from rtl.encoder import Encoder
from rtl.layer.layer import Layer
from rtl.link.core import LinkCore
from rtl.link.identity import shape_digest
from rtl.parts.memory import ConfigMemory, ConfigRegister
from rtl.plan import check_link, plan
from rtl.layer.x_buffer import FUSE_BANKS
from tests.quant.toy import place_of, with_op
from tests.quant.two_sided import random_two_sided
from tests.rtl.fabric import multiplying

SMALL = dict(n_layers=2, H=4, n=2, length=16)
# Options that decide which parts there are, and a number of lanes.
CASES = {
    "samples": (dict(**SMALL), 4),
    "no residual": (dict(residual="none", act="identity", **SMALL), 1),
    "plain, sobol": (dict(residual="plain", sampling="sobol", **SMALL), 2),
    "plain tokens": (dict(residual="plain", vocab=5, rounding="half_even", **SMALL), 8),
    "systematic": (dict(sampling="systematic", n_layers=3, H=6, n=4, length=9), 12),
    "glu": (dict(kind="glu", norm_position="post", **SMALL), 2),
    "gsu": (dict(kind="gsu", n_layers=2, H=6, n=4, length=9), 12),
    "gelus, gain": (dict(residual="replace", act="gelu", gelu_out=True, gain=True, **SMALL), 4),
    "more banks than usual": (dict(residual="plain", n_layers=2, H=8, n=2, length=9), 2),
}


@pytest.fixture
def built(monkeypatch):
    """Everything of the configuration bus that is elaborated, and every component made."""
    found = {"regions": [], "components": 0}

    def seen(kind):
        elaborate = kind.elaborate
        monkeypatch.setattr(kind, "elaborate", lambda part, platform: (
            found["regions"].append(part.region), elaborate(part, platform))[1])

    seen(ConfigMemory)
    seen(ConfigRegister)
    make = wiring.Component.__init__

    def count(part, *args, **kwargs):
        found["components"] += 1
        make(part, *args, **kwargs)
    monkeypatch.setattr(wiring.Component, "__init__", count)
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_core_holds_what_the_plan_says(case, built):
    """Elaborated, every memory and register on the bus has its region."""
    options, lanes = CASES[case]
    art, hw = random_artifact(1, **options), HardwareConfig(lanes)
    planned, fragments = plan(art, hw), [Fragment.get(Core(art, hw), None)]
    while fragments:
        fragments += [Fragment.get(part, None) for part, *_ in fragments.pop().subfragments]
    found = {region.base: region for region in built["regions"]}    # a table may be there G times
    assert all(found[region.base] == region for region in built["regions"])
    assert [found[base] for base in sorted(found)] == list(planned.regions)
    assert len({region.name for region in planned.regions}) == len(planned.regions)


@pytest.mark.parametrize("case", CASES)
def test_timing_is_what_the_parts_say(case):
    """Their tests compare ``latency`` and ``interval`` with what is simulated."""
    options, lanes = CASES[case]
    planned = plan(random_artifact(1, **options), HardwareConfig(lanes))
    timing, layer = planned.timing, Layer(planned.layers[1])
    found = timing.layers[1]
    for part, said in ((Encoder(planned.encoder), timing.encoder), (layer, found),
                       (layer.engine, found.engine), (layer.mixer, found.mixer),
                       (Decoder(planned.decoder), timing.decoder)):
        assert (part.latency, part.interval) == (said.latency, said.interval)
    assert layer.buffer.banks == found.banks
    assert case != "more banks than usual" or found.banks > FUSE_BANKS


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_built_for_numbers(case, built):
    """Map, image, seeds, cycles, the board's needs and identity: not one component."""
    options, lanes = CASES[case]
    art, hw = random_artifact(1, **options), HardwareConfig(lanes)
    planned = plan(art, hw)
    assert planned.writes() and planned.seed_writes(77) and shape_digest(planned)
    predict(art, hw, [3, 1])
    estimate.needs(BOARDS["ulx3s-85f"], art, lanes)
    assert built["components"] == 0


@pytest.mark.parametrize("case", CASES)
def test_seed_writes_are_the_image_of_that_seed(case):
    """They change just what another seed changes in the image."""
    options, lanes = CASES[case]
    planned = plan(random_artifact(1, **options), HardwareConfig(lanes))
    other = plan(replace(planned.art, seed=77), planned.hw)
    changed = [new for new, old in zip(other.writes(), planned.writes()) if new != old]
    assert planned.seed_writes(77) == changed != []


def with_edge(**formats):
    """An artifact whose edge is in other formats."""
    art = random_artifact(**SMALL)
    edge = replace(art.spiking.edge, **formats)
    return replace(art, **replace(art.spiking, edge=edge).parts()).check()


def with_first():
    """An artifact with an operation more in its encoder."""
    art = random_artifact(residual="plain", **SMALL)
    return replace(art, first=(*art.first, Curve("x -> x"))).check()


def other_sides():
    """A two-sided artifact whose states of the future have another format."""
    art = random_two_sided(length=784)
    return with_op(art, place_of(art, 0, Future), h=SQ(5, 12))


REFUSED = {
    "multipliers": (multiplying(), r"layer 0: Mix \(a -> n\) has weights SQ\(8,0\) of values"),
    "encoder": (with_first(), r"encoder: Scale \(v -> x\), Limit .*which has Scale, Limit there"),
    "decoder": (with_edge(dec_w=SQ(34, 6)),
                r"decoder: logits need 60 bits, but there are 48; .*length 16.* dec_w SQ\(34,6\)"),
    "two-sided": (other_sides(), r"layer 0: h of the states is SQ\(4,12\) of the past, but "
                  r"SQ\(5,12\) of the future; both sides share the hardware: export with "
                  "--one-format"),
    "lanes": (random_artifact(n_layers=1, H=3, n=4), "8 lanes do not divide 3 neurons of 4 modes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what):
    """Each names layer or end, rule and value; a core raises the same."""
    art, message = REFUSED[what]
    with pytest.raises(HardwareError, match=message) as said:
        plan(art, HardwareConfig(8))
    with pytest.raises(HardwareError) as again:
        Core(art, HardwareConfig(8))
    assert str(again.value) == str(said.value) and "\n" not in str(said.value)


def test_what_no_artifact_has():
    """Formats for which a component's sum would be coarser than what it adds."""
    fine, coarse = LayerFormats(alpha=SQ(4, 2), beta=SQ(3, 14)), SQ(4, 8)
    random_artifact(residual="plain", fmt=fine, **SMALL)
    with pytest.raises(ArtifactError, match=r"^layer 0, Scale \(x -> p_in\): b SQ\(3,15\) has more "
                                            r"fraction bits than its sum, 14$"):
        random_artifact(residual="plain", fmt=replace(fine, beta=SQ(3, 15)), **SMALL)
    with pytest.raises(ArtifactError, match=r"^encoder, Round \(x -> x\): 12 fraction bits of SQ"):
        random_artifact(edge=EdgeFormats(UQ(4, 0), coarse, coarse), **SMALL)
    with pytest.raises(ArtifactError, match=r"^encoder, Scale \(v -> x\): b SQ\(4,20\) has more "
                                            r"fraction bits than its sum, 16$"):
        random_artifact(edge=EdgeFormats(PIXEL, coarse, SQ(4, 20)), **SMALL)


def test_components_refuse_nothing():
    """Whoever has a plan has no artifact that a component does not take."""
    for path in Path(rtl.plan.__file__).parent.rglob("*.py"):
        for found in ast.parse(path.read_text()).body:
            if isinstance(found, ast.ClassDef) and "Component" in map(ast.unparse, found.bases):
                assert "HardwareError" not in ast.unparse(found), f"{path}: {found.name}"


@pytest.mark.parametrize("options, message", [
    (dict(length=65_536), "the link takes sequences of up to 65535 steps, the artifact has 65536"),
    (dict(vocab=65_536), "a board's identity has room for 65535 tokens, the network has 65536")])
def test_refusals_of_the_link(options, message):
    art = random_artifact(n_layers=1, H=4, n=2, **options)
    with pytest.raises(HardwareError, match=message):
        check_link(plan(art, HardwareConfig(2)))
    with pytest.raises(HardwareError, match=message):
        LinkCore(art, HardwareConfig(2), 48e6, 4)


def test_a_map_that_is_too_large(monkeypatch):
    """The bus and the link have fewer addresses than usual here."""
    planned = plan(random_artifact(**SMALL), HardwareConfig(2))
    top = planned.addresses
    assert top & top - 1, "the case wants a map that no power of two ends"
    for name, number in (("ADDRESS_BITS", top.bit_length()), ("OWN_WORDS", top)):
        monkeypatch.setattr(f"rtl.plan.{name}", number)
    check_link(plan(planned.art, planned.hw))
    monkeypatch.setattr("rtl.plan.OWN_WORDS", top - 1)
    with pytest.raises(HardwareError, match=f"take {top} addresses, but the link "
                                            f"reaches {top - 1}"):
        check_link(planned)
    bits = top.bit_length() - 1
    monkeypatch.setattr("rtl.plan.ADDRESS_BITS", bits)
    with pytest.raises(HardwareError, match=f"take {top} addresses, the configuration bus has "
                                            f"{1 << bits}"):
        plan(planned.art, planned.hw)


def test_a_large_network_is_planned_at_once():
    """psMNIST's size: all rows take a small part of the time that the parts' constructors do."""
    art = random_artifact(1, n_layers=4, H=128, n=8, n_classes=10, length=784)
    plan(art, HardwareConfig(8))        # the generator's leaps are kept
    begin = time.process_time()
    planned = plan(art, HardwareConfig(8))
    middle = time.process_time()
    Core(art, HardwareConfig(8)).elaborate(None)
    end = time.process_time()
    assert 4 * (middle - begin) < end - middle, f"{middle - begin:.3f} s, {end - middle:.3f} s"
    assert len(planned.writes()) > 4 * (128 * 128 * 8 + 4 * 16 * 128 * 8) // 32
