"""The artifact: a round trip, and one clear line for everything that can be wrong with it."""

import json
import resource
import signal
from dataclasses import replace

import numpy as np
import pytest

from quant.formats import RandomFormat
from quant.integer import artifact
from quant.integer.artifact import ArtifactError, digest, load, save
from quant.integer.ops import Step
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
    with pytest.raises(ArtifactError, match="truncated or edited .*; export again") as error:
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
        with pytest.raises(ArtifactError, match="not match its manifest's sha256|elements of ty"):
            load(tmp_path)

    for name, raw in arrays.items():
        wrong = raw.copy()
        wrong.flat[-1] ^= 1
        refused(arrays | {name: wrong})
        refused(arrays | {name: raw[None]})
        refused(arrays | {name: raw.view(np.float64)})
        refused({other: each for other, each in arrays.items() if other != name})
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
            m["sha256"] = artifact._sha256({k: v for k, v in m.items() if k != "sha256"},
                                           dict(stored))
    path.write_text(json.dumps(m))


def op(m, block, kind, makes=None):
    return next(o for o in m["blocks"][block]
                if o["operation"] == kind and makes in (None, o["wiring"].split()[-1]))


STRICT = [      # no default steps in, no type is another
    *((lambda m, kind=kind, key=key: op(m, 0, kind).pop(key), f"{kind}: missing {key}")
      for kind, key in (("States", "h"), ("States", "rounding"), ("States", "layer"),
                        ("States", "g_im"), ("Fire", "form"), ("Fire", "number"), ("Curve", "kind"),
                        ("Mix", "bias"), ("Mix", "wiring"))),
    *((lambda m, key=key: m["random"].pop(key), f"RandomFormat: missing {key}")
      for key in RandomFormat().to_dict()),
    (lambda m: m["first"][1].pop("bits"), "encoder, operation 1, Round: missing bits"),
    (lambda m: m["decoder"].pop("b"), "decoder: missing b"),
    (lambda m: m.pop("first"), "missing first"), (lambda m: m.update(more=1), "unknown more"),
    (lambda m: m.pop("sample"), "missing sample"), (lambda m: m.pop("seed"), "missing seed"),
    (lambda m: m.pop("permutation"), "missing permutation"),
    (lambda m: op(m, 0, "Mix").update(ternary=0.5), "Mix: unknown ternary"),
    (lambda m: op(m, 0, "Mix").update(w=7), "Mix, w: 7 is not a number format"),
    (lambda m: op(m, 0, "Mix").update(w=None), "Mix, w: None is not a number format"),
    (lambda m: op(m, 0, "States").update(layer=False), "layer must be a whole number, not False"),
    (lambda m: op(m, 1, "States").update(layer=1.0), "layer must be a whole number, not 1.0"),
    (lambda m: op(m, 1, "Fire").update(number=True), "number must be a whole number, not True"),
    (lambda m: op(m, 1, "States").update(rounding=["floor"]), "rounding must be a text, not"),
    (lambda m: m["first"][1].update(bits=True), "bits must be a whole number, not True"),
    (lambda m: m.update(seed=True), "seed must be in"), (lambda m: m.update(seed=1.0), "seed must"),
    (lambda m: m.update(vocab=False), "vocab must be a whole number"),
    (lambda m: m.update(permutation=3), "permutation must be a name or none, not 3"),
    (lambda m: m.update(task="../../x"), "task must be a task's name, such as digits .*'../../x'"),
    (lambda m: m.update(task=["digits"]), "task must be a task's name"),
    (lambda m: m.update(info=[]), "info must be an object"),
    (lambda m: m["random"].update(width=10 ** 7), "width must be in 1..64, not 10000000"),
    (lambda m: m["random"].update(width=32.0), "width must be a whole number, not 32.0"),
    (lambda m: m["random"].update(k=True), "k must be a whole number, not True"),
    (lambda m: m["random"].update(centred=1), "centred must be true or false, not 1"),
    (lambda m: m["random"].update(taps=[32.0, 22]), "taps must be whole numbers"),
    (lambda m: m["random"].update(taps="32"), "taps must be whole numbers"),
    (lambda m: m["random"].update(taps=[]), "taps must be in 1..32"),
    (lambda m: m["random"].update(taps=[32, 22, 22, 1]), "taps must be in 1..32, each once"),
    (lambda m: m["random"].update(taps=[32]), "their polynomial is not primitive"),
    (lambda m: m["random"].update(taps=[32, 22, 2]), "their polynomial is not primitive"),
    (lambda m: m["random"].update(stream_jump=10 ** 99), "stream_jump must be in"),
    (lambda m: m.update(length=10 ** 99), "length must be at most"),
    (lambda m: m.update(sample="UQ(0,1000000000)"), "'UQ.0,1000000000.' is not a number format"),
    (lambda m: m.update(blocks={}), "blocks must be a list"),
    (lambda m: m.update(blocks=[7]), "layer 0 must be a list of operations"),
    (lambda m: m.update(blocks=[[7]]), "layer 0, operation 0 must be an object that names an"),
    (lambda m: m.update(first=[]), "nothing makes x")]
EDITS = [
    (lambda m: op(m, 0, "Curve").update(kind="tanh"), "kind must be relu or gelu, not 'tanh'"),
    (lambda m: op(m, 1, "States").update(rounding="floor"), "rounding must be one of stochastic"),
    (lambda m: op(m, 0, "Fire").update(form="mean"), "sampling must be one of bernoulli, sobol, "),
    (lambda m: op(m, 0, "Fire").update(form="sobol"), r"directions: shape \(0,\), expected \(6,\)"),
    (lambda m: op(m, 0, "Fire").update(speed=1), "speed"),
    (lambda m: op(m, 1, "Fire").update(number=0), r"Fire, number: each .* 0..3, .* \[0, 1, 0, 3\]"),
    (lambda m: op(m, 1, "States").update(layer=2), r"States, layer: each .* in 0..1, .* \[0, 2\]"),
    (lambda m: op(m, 0, "Mix").update(w="8 bits"), "'8 bits' is not a number format"),
    (lambda m: op(m, 0, "Mix").update(w="SQ(2,0)"), r"layer 0, Mix .*, w: .* outside SQ"),
    (lambda m: op(m, 0, "Mix").pop("w"), "layer 0, operation 4, Mix: missing w"),
    (lambda m: op(m, 0, "Mix").update(operation="Blend"), "operation Blend is unknown; known: "),
    (lambda m: op(m, 1, "Mix").update(wiring="s_out q -> z"),
     r"Mix \(s_out q -> z\): it reads 1 value, not 2"),
    (lambda m: op(m, 1, "Mix").update(wiring="q -> z"),
     r"Mix \(q -> z\) reads q, which nothing makes before it"),
    (lambda m: op(m, 1, "Mix").update(wiring="s_out z"), "wiring must be like 'z x -> z', not "),
    (lambda m: m.update(seed=0), "seed must be in 1"), (lambda m: m.update(blocks=[]), "no layers"),
    (lambda m: m.update(seed="1"), r"seed must be in 1..2\*\*32 - 1, not '1'"),
    (lambda m: m["blocks"].append(m["blocks"][0]), "there is no array 2.1.a_re"),
    (lambda m: m["blocks"].pop(), "no operation has the array 1.1.a_im"),
    (lambda m: m["blocks"][0].pop(1), "there is no array 0.1.b"),
    (lambda m: m.update(sample=None), "sample format"),
    (lambda m: m.update(n_classes=4), r"decoder_w: shape \(3, 8\), expected \(4, 8\)"),
    (lambda m: m["decoder"].update(b="SQ(8,17)"), "decoder_b SQ.8,17. must have the fraction bits"),
    (lambda m: m.update(length=1 << 30), "a rounding stream needs"),
    (lambda m: m.update(length=9.5), "length must be a whole number of at least 1, not 9.5"),
    (lambda m: m.update(length=0), "length must be a whole number of at least 1, not 0"),
    (lambda m: m.update(vocab=-3), "vocab must be a whole number of at least 0, not -3"),
    (lambda m: m["random"].update(stream_jump=1 << 30), "the generator repeats"),
    (lambda m: m["random"].update(speed=1), "speed"), (lambda m: m.pop("random"), "random"),
    (lambda m: m["random"].update(round_bits=0), "0 of stochastic rounding, at least 1"),
    (lambda m: m["random"].update(taps=[3]), "manifest.json: taps must be in 1..32"),
    (lambda m: m.update(random=[]), "manifest.json: RandomFormat must be an object"),
    (lambda m: m.update(decoder=3), "manifest.json: decoder must be an object"), *STRICT]


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
    (lambda m: m.update(schema=4), "has schema 4, this version reads schema 1 to 3; update"),
    (lambda m: m.update(schema="3"), "has schema 3, this version"),
    (lambda m: m.update(schema=True), "has schema True, this version"),
    (lambda m: m.update(schema=2), "sha256"), (lambda m: m.update(schema=1), "sha256"),
    (lambda m: m.pop("schema"), "has schema None"), (lambda m: m.pop("sha256"), "sha256"),
    (lambda m: m.pop("blocks"), "sha256"), (lambda m: m.pop("info"), "sha256"),
    (lambda m: m.pop("task"), "sha256"), (lambda m: m.update(task="digits"), "sha256"),
    (lambda m: m.update(permutation="seed0"), "sha256"),
    (lambda m: m["info"].update(accuracy=1.0), "sha256")])
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


def test_digest_follows_behaviour_only():
    art = random_artifact(1)
    assert digest(replace(art, info={"note": 1}, task="other", permutation="x")) == digest(art)
    w = art.spiking.layers[0].w.copy()
    w[0, 0] ^= 1
    others = [changed(art, 0, w=w), *(changed(art, **{k: v}) for k, v in {
        "act": "identity", "rounding": "half_even", "residual": "none", "sampling": "systematic",
        "dec_b": art.spiking.dec_b + 1}.items()), *(replace(art, **{k: v}) for k, v in {
            "seed": 5, "length": 65, "random": RandomFormat(centred=False)}.items())]
    binary = stream.artifact()
    step = place_of(binary, 0, Step)
    others += [binary, with_op(binary, step, fires_at_zero=False)]
    assert len({digest(a) for a in others} | {digest(art)}) == len(others) + 1
    assert digest(with_op(binary, step, width=2.0)) == digest(binary)       # of training only


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
    # the format of samples, of which there are none, and the order of its task's steps
    assert text.count("null") == 2 and '"permutation": null' in text
