"""The artifact: a round trip, and one clear line for everything that can be wrong with it."""

import json
import resource
import signal
from dataclasses import fields, replace

import numpy as np
import pytest

from golden.base.qformat import SQ, FormatError
from quant.formats import LayerFormats, RandomFormat
from quant.integer import artifact
from quant.integer.artifact import ArtifactError, digest, load, save
from quant.integer.memory import States
from quant.integer.ops import Limit, Mix, Step, Table, Ternary
from quant.integer.spiking import Layer
from quant.integer.synthetic import random_artifact
from tests.quant import stream
from tests.quant.toy import changed, content, place_of, with_op

KINDS = [{}, {"residual": "plain"}, {"vocab": 9}, {"residual": "none", "act": "identity"},
         {"rounding": "half_even"}, {"sampling": "systematic"}, {"sampling": "sobol"},
         {"gelu_out": True}, {"gain": True}, {"residual": "replace"}, {"features": 3},
         {"act": "gelu", "gelu_out": True, "gain": True}]
STREAMS = [("binary", {}), ("gsu", {"vocab": 17}), ("gsu", {"norm_position": "post"}),
           ("binary", {"fires_at_zero": False, "residual": "none"})]


@pytest.fixture
def folder(tmp_path):
    return save(random_artifact(1), tmp_path / "a" / "b")


@pytest.mark.parametrize("make", [
    *(lambda options=options: random_artifact(2, **options) for options in KINDS),
    *(lambda kind=kind, options=options: stream.artifact(kind, **options)
      for kind, options in STREAMS)], ids=[*map(str, KINDS), *map(str, STREAMS)])
def test_round_trip(tmp_path, make):
    art = make()
    back = load(save(art, tmp_path))
    np.testing.assert_equal(content(back), content(art))
    assert digest(back) == digest(art)
    assert [*map(type, back.blocks[1])] == [*map(type, art.blocks[1])]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["arrays.npz", "manifest.json"]


@pytest.mark.parametrize("name", ["arrays.npz", "manifest.json"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} does not exist; make the artifact with"):
        load(folder)


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_truncated_arrays(folder, keep):
    path = folder / "arrays.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match="truncated or edited; export again") as error:
        load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("make", [
    lambda: random_artifact(1, sampling="sobol", residual="plain", gelu_out=True, gain=True,
                            features=2), lambda: random_artifact(1, vocab=5),
    lambda: stream.artifact("binary"), lambda: stream.artifact("gsu", vocab=17)],
    ids=["samplers", "tokens", "binary", "gsu"])
def test_no_tensor_can_be_changed(make, tmp_path):
    """One bit of any tensor, its shape, or one tensor more or less."""
    art = make()
    save(art, tmp_path)
    with np.load(tmp_path / "arrays.npz") as stored:
        arrays = dict(stored)
    assert len(arrays) == 2 + sum(len(op.tensors) for _, op, _ in art.operations()) + 4 * bool(
        art.head)

    def refused(changed):
        np.savez_compressed(tmp_path / "arrays.npz", **changed)
        with pytest.raises(ArtifactError, match="does not match its manifest's sha256"):
            load(tmp_path)

    for name, raw in arrays.items():
        wrong = raw.copy()
        wrong.flat[-1] ^= 1
        refused(arrays | {name: wrong})
        refused(arrays | {name: raw[None]})
        refused(arrays | {name: raw.view(np.float64)})
        refused({other: array for other, array in arrays.items() if other != name})
    refused(arrays | {"0.9.w": raw})
    np.savez_compressed(tmp_path / "arrays.npz", **arrays)
    assert digest(load(tmp_path)) == digest(art)


def edit(folder, change, signed: bool):
    """Change the manifest; ``signed``: with the sha256 of what it says then."""
    path = folder / "manifest.json"
    m = json.loads(path.read_text())
    change(m)
    if signed:
        with np.load(folder / "arrays.npz") as stored:
            m["sha256"] = artifact._sha256({k: v for k, v in m.items()
                                            if k not in ("sha256", "task", "info")}, dict(stored))
    path.write_text(json.dumps(m))


def op(m, block, kind, makes=None):
    return next(o for o in m["blocks"][block]
                if o["operation"] == kind and makes in (None, o["wiring"].split()[-1]))


EDITS = [
    (lambda m: op(m, 0, "Curve").update(kind="tanh"), "kind must be relu or gelu, not 'tanh'"),
    (lambda m: op(m, 1, "States").update(rounding="floor"), "rounding must be one of stochastic"),
    (lambda m: op(m, 0, "Fire").update(form="mean"), "sampling must be one of bernoulli, sobol, "),
    (lambda m: op(m, 0, "Fire").update(form="sobol"), r"directions: shape \(0,\), expected \(6,\)"),
    (lambda m: op(m, 0, "Fire").update(speed=1), "speed"),
    (lambda m: op(m, 0, "Mix").update(w="8 bits"), "'8 bits' is not a number format"),
    (lambda m: op(m, 0, "Mix").update(w="SQ(2,0)"), r"layer 0, Mix .*, w: .* outside SQ"),
    (lambda m: op(m, 0, "Mix").pop("w"), "manifest.json: 'NoneType' object has no attribute"),
    (lambda m: op(m, 0, "Mix").update(operation="Blend"), "operation Blend is unknown; known: "),
    (lambda m: op(m, 1, "Mix").update(wiring="s_out q -> z"),
     r"Mix \(s_out q -> z\) reads q, which nothing makes before it"),
    (lambda m: op(m, 1, "Mix").update(wiring="s_out z"), r"Mix \(s_out z\) reads z"),
    (lambda m: m.update(seed=0), "seed must be in 1"),
    (lambda m: m.update(seed="1"), r"seed must be in 1..2\*\*32 - 1, not '1'"),
    (lambda m: m.update(blocks=[]), "no layers"),
    (lambda m: m["blocks"].append(m["blocks"][0]), "2.1"),
    (lambda m: m["blocks"][0].pop(1), "manifest.json: "),
    (lambda m: m.update(sample=None), "sample format"),
    (lambda m: m.update(n_classes=4), r"decoder_w: shape \(3, 8\), expected \(4, 8\)"),
    (lambda m: m["decoder"].update(b="SQ(8,17)"), "decoder_b SQ.8,17. must have the fraction bits"),
    (lambda m: m.update(length=1 << 30), "a rounding stream needs"),
    (lambda m: m.update(length=9.5), "length must be a whole number of at least 1, not 9.5"),
    (lambda m: m.update(length=0), "length must be a whole number of at least 1, not 0"),
    (lambda m: m.update(vocab=-3), "vocab must be a whole number of at least 0, not -3"),
    (lambda m: m["random"].update(stream_jump=1 << 30), "the generator repeats"),
    (lambda m: m["random"].update(speed=1), "speed"),
    (lambda m: m["random"].update(round_bits=0), "0 of stochastic rounding, at least 1"),
    (lambda m: m["random"].update(taps=[3]), "manifest.json: taps must be in 1..32"),
    (lambda m: m.update(random=[]), "manifest.json: "),
    (lambda m: m.update(decoder=3), "manifest.json: ")]


@pytest.mark.parametrize("change, text", EDITS)
def test_edited_manifest(folder, change, text):
    """Whoever edits it sees that; whoever writes another one by the rules of the sha256, which."""
    edit(folder, change, signed=False)
    with pytest.raises(ArtifactError, match="does not match its manifest's sha256"):
        load(folder)
    edit(folder, lambda m: None, signed=True)
    with pytest.raises(ArtifactError, match=text) as error:
        load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change, text", [
    (lambda m: m.update(schema=3), "has schema 3, this version reads schema 1 and 2; update"),
    (lambda m: m.update(schema="2"), "has schema 2, this version"),
    (lambda m: m.pop("schema"), "has schema None"), (lambda m: m.pop("sha256"), "'sha256'"),
    (lambda m: m.pop("blocks"), "sha256"), (lambda m: m.pop("info"), "'info'"),
    (lambda m: m.pop("task"), "'task'")])
def test_manifests_of_another_form(folder, change, text):
    edit(folder, change, signed=False)
    with pytest.raises(ArtifactError, match=text) as error:
        load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff\xfe"])
def test_a_manifest_that_is_none(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError, match="manifest.json is not"):
        load(folder)


@pytest.mark.parametrize("name", [f.name for f in fields(Layer) if f.name != "fmt"])
def test_wrong_shape_or_value_is_named(name):
    art = random_artifact(1, residual="plain", gelu_out=True, gain=True)
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
    (1, Ternary, None, {"threshold": np.array(256)}, "threshold: 1 of 1 values outside"),
    (1, Limit, "y_in", {"to": SQ(4, 3)}, "must have at least the fraction bits of index"),
    (1, Mix, "gate", {"w": np.zeros((5, 6), int)}, r"w: shape \(5, 6\), expected"),
])
def test_operations_that_do_not_fit_together(number, kind, makes, change, text):
    art = (BINARY, GSU)[number]
    with pytest.raises(ArtifactError, match=text):
        with_op(art, place_of(art, 1, kind, makes), **change).check()


def test_a_block_needs_its_state_space_model():
    blocks = BINARY.blocks[0], tuple(o for o in BINARY.blocks[1] if not isinstance(o, States))
    with pytest.raises(ArtifactError, match="no layers, or one without a state space model"):
        replace(BINARY, blocks=blocks).check()
    with pytest.raises(ArtifactError, match=r"reads y, which nothing makes before it"):
        replace(BINARY, blocks=(BINARY.blocks[0], tuple(
            replace(o, wiring="u -> w") if isinstance(o, States) else o
            for o in BINARY.blocks[1]))).check()


def test_digest_follows_behaviour_only():
    art = random_artifact(1)
    assert digest(replace(art, info={"note": 1}, task="other")) == digest(art)
    w = art.spiking.layers[0].w.copy()
    w[0, 0] ^= 1
    others = [changed(art, 0, w=w), *(changed(art, **{k: v}) for k, v in {
        "act": "identity", "rounding": "half_even", "residual": "none", "sampling": "systematic",
        "dec_b": art.spiking.dec_b + 1}.items()), *(replace(art, **{k: v}) for k, v in {
            "seed": 5, "length": 65, "random": RandomFormat(centred=False)}.items())]
    step = place_of(BINARY, 0, Step)
    others += [BINARY, with_op(BINARY, step, fires_at_zero=False)]
    assert len({digest(a) for a in others} | {digest(art)}) == len(others) + 1
    assert digest(with_op(BINARY, step, width=2.0)) == digest(BINARY)       # of training only


def test_full_disk_leaves_what_was_there(folder):
    """The system itself refuses to write: a limit on file size, as a full disk does."""
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(OSError):
            save(random_artifact(2), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    load(folder)


def test_refuses_to_save_what_it_would_not_load(tmp_path):
    with pytest.raises(ArtifactError, match="seed"):
        save(replace(random_artifact(1), seed=0), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_optional_tensors_leave_others_alone(tmp_path):
    """A network without them is written, and hashed, as if there were none."""
    assert digest(random_artifact(0)) == "4a8caa57f0ad5ac1"
    text = (save(random_artifact(0, vocab=3), tmp_path / "net") / "manifest.json").read_text()
    assert '"head_formats"' not in text and '"directions"' not in text and "null" in text
    assert text.count("null") == 1          # the format of samples, of which there are none


def test_formats_say_of_which_tensor():
    art = random_artifact(0, gelu_out=True)
    with pytest.raises(ArtifactError, match=r"layer 0, Scale \(v -> p_out\), a: shape \(0,\), "
                                            r"expected \(8,\)"):
        changed(art, 0, a=np.zeros(0, np.int64)).check()
    with pytest.raises(FormatError, match="addend SQ.6,11. must have the 12 fraction bits"):
        replace(art.spiking.layers[0].fmt, addend=SQ(6, 11))
