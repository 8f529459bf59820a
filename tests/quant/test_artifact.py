"""The artifact: a round trip, and one clear line for everything that can be wrong with it."""

import dataclasses
import json
import resource
import signal
from dataclasses import replace

import numpy as np
import pytest

from quant.integer.artifact import Artifact, ArtifactError, Layer, digest, load, save
from golden.base.qformat import SQ
from quant.formats import LayerFormats, RandomFormat
from quant.integer.synthetic import random_artifact

KINDS = [{}, {"residual": "plain"}, {"vocab": 9}, {"residual": "none", "act": "identity"},
         {"rounding": "half_even"}, {"sampling": "systematic"}, {"sampling": "sobol"}]


@pytest.fixture
def folder(tmp_path):
    return save(random_artifact(1), tmp_path / "a" / "b")


def with_layer(art: Artifact, number: int = 1, **change) -> Artifact:
    layers = list(art.spiking.layers)
    layers[number] = dataclasses.replace(layers[number], **change)
    return dataclasses.replace(art, layers=tuple(layers))


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_round_trip(tmp_path, options):
    art = random_artifact(2, **options)
    back = load(save(art, tmp_path))
    assert digest(back) == digest(art)
    for mine, other in zip(art.spiking.layers, back.layers):
        for field in dataclasses.fields(Layer):
            np.testing.assert_array_equal(getattr(other, field.name), getattr(mine, field.name))
    for name in ("task", "length", "vocab", "act", "residual", "rounding", "seed", "random",
                 "edge", "n_classes", "info", "sampling"):
        assert getattr(back, name) == getattr(art, name)
    np.testing.assert_array_equal(back.directions, art.spiking.directions)
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
    with pytest.raises(ArtifactError, match="sha256: truncated or edited"):
        load(folder)


def test_edited_array(folder):
    with np.load(folder / "arrays.npz") as stored:
        arrays = dict(stored)
    arrays["layer0.w"][0, 0] ^= 1
    np.savez_compressed(folder / "arrays.npz", **arrays)
    with pytest.raises(ArtifactError, match="sha256"):
        load(folder)


def edit(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("change, text", [
    (lambda m: m.update(schema=2), "has schema 2, this version reads schema 1; update"),
    (lambda m: m.pop("schema"), "has schema None"),
    (lambda m: m.pop("act"), "'act'"),
    (lambda m: m.update(act="tanh"), "act must be one of relu, identity, gelu, not 'tanh'"),
    (lambda m: m.update(residual="sum"), "residual must be one of none, clampfuse, plain"),
    (lambda m: m.update(rounding="floor"), "rounding must be one of stochastic, half_even"),
    (lambda m: m.update(seed=0), "seed must be in 1"),
    (lambda m: m.update(layer_formats=[]), "no layers"),
    (lambda m: m["layer_formats"][0].update(w="8 bits"), "'8 bits' is not a number format"),
    (lambda m: m["layer_formats"][0].update(w="SQ(2,0)"), "layer 0, w: .* outside SQ"),
    (lambda m: m["layer_formats"].append(m["layer_formats"][0]), "layer2"),
    (lambda m: m["edge_formats"].update(sample=None), "sample format"),
    (lambda m: m.update(n_classes=4), r"dec_w: shape \(3, 8\), expected \(4, 8\)"),
    (lambda m: m.update(length=1 << 30), "a rounding stream needs"),
    (lambda m: m["random"].update(stream_jump=1 << 30), "the generator repeats"),
    (lambda m: m["random"].update(speed=1), "speed"),
    (lambda m: m.update(sampling="mean"), "sampling must be one of bernoulli, sobol, systematic"),
    (lambda m: m.update(sampling="sobol"), r"directions: shape \(0, 0\), expected \(4, 6\)"),
    (lambda m: m.pop("sampling"), "'sampling'"),
    (lambda m: m["shape"].update(H=9), "is not the arrays'"),
    (lambda m: m.update(seed="1"), r"seed must be in 1..2\*\*32 - 1, not '1'"),
    (lambda m: m.update(length=9.5), "length must be a whole number of at least 1, not 9.5"),
    (lambda m: m.update(length=0), "length must be a whole number of at least 1, not 0"),
    (lambda m: m.update(vocab=-3), "vocab must be a whole number of at least 0, not -3"),
    (lambda m: m["random"].update(round_bits=0), "round_bits must be at least 1 for stochastic"),
    (lambda m: m["random"].update(taps=[3]), "manifest.json: taps must be in 1..32"),
    (lambda m: m.update(random=[]), "manifest.json: "),
    (lambda m: m.update(edge_formats=3), "manifest.json: "),
    (lambda m: m.update(info=None) or m.pop("info"), "'info'")])
def test_edited_manifest(folder, change, text):
    edit(folder, change)
    with pytest.raises(ArtifactError, match=text) as error:
        load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff\xfe"])
def test_a_manifest_that_is_none(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError, match="manifest.json is not"):
        load(folder)


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Layer) if f.name != "fmt"])
def test_wrong_shape_or_value_is_named(name):
    art = random_artifact(1, residual="plain", gelu_out=True, gain=True)
    raw = getattr(art.spiking.layers[1], name)
    with pytest.raises(ArtifactError, match=f"layer 1, {name}: shape .* expected"):
        with_layer(art, **{name: raw[:-1]}).check()
    outside = raw.copy()
    outside.flat[0] = 1 << 40
    with pytest.raises(ArtifactError, match=rf"layer 1, {name}: 1 of {raw.size} values outside .*Q"
                                            rf".* seen \[.*{1 << 40}\]"):
        with_layer(art, **{name: outside}).check()


@pytest.mark.parametrize("re, im, ok", [(32767, 0, True), (-32768, 0, False), (0, -32768, False),
                                        (23170, 23170, True), (23171, 23170, False)])
def test_unstable_modes(re, im, ok):
    art = random_artifact(1)
    a_re, a_im = art.spiking.layers[1].a_re.copy(), art.spiking.layers[1].a_im.copy()
    a_re[3, 2], a_im[3, 2] = re, im
    changed = with_layer(art, a_re=a_re, a_im=a_im)
    if ok:
        changed.check()
    else:
        with pytest.raises(ArtifactError, match=r"layer 1, a_bar: 1 of 32 modes .* \[3 2\]"):
            changed.check()


def test_formats_that_do_not_fit_together():
    art = random_artifact(1)
    with pytest.raises(ArtifactError, match="layer 1: p and x must have one format"):
        with_layer(art, fmt=LayerFormats(x=SQ(7, 12))).check()
    with pytest.raises(ArtifactError, match="needs more than 8 fraction bits"):
        random_artifact(1, fmt=LayerFormats(a_bar=SQ(1, 8)))
    with pytest.raises(ArtifactError, match="more fraction bits than a_bar"):
        random_artifact(1, fmt=LayerFormats(a_bar=SQ(1, 9), h=SQ(2, 2), drive=SQ(2, 2)))


def test_digest_follows_behaviour_only():
    art = random_artifact(1)
    same = dataclasses.replace(art, info={"note": 1}, task="other")
    assert digest(same) == digest(art)
    w = art.spiking.layers[0].w.copy()
    w[0, 0] ^= 1
    changed = [with_layer(art, 0, w=w)] + [dataclasses.replace(art, **{k: v}) for k, v in {
        "seed": 5, "act": "identity", "rounding": "half_even", "residual": "none", "length": 65,
        "sampling": "systematic",
        "random": RandomFormat(centred=False), "dec_b": art.spiking.dec_b + 1}.items()]
    digests = {digest(a) for a in changed} | {digest(art)}
    assert len(digests) == len(changed) + 1


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
    art = dataclasses.replace(random_artifact(1), seed=0)
    with pytest.raises(ArtifactError, match="seed"):
        save(art, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("options", [{"gelu_out": True}, {"gain": True}, {"residual": "replace"},
                                     {"act": "gelu", "gelu_out": True, "gain": True}])
def test_round_trip_of_optional_tensors(tmp_path, options):
    art = random_artifact(3, H=4, n=2, **options)
    back = load(save(art, tmp_path / "net"))
    assert digest(back) == digest(art) != digest(random_artifact(3, H=4, n=2))
    for one, other in zip(art.spiking.layers, back.layers):
        assert one.fmt == other.fmt
        for name in ("a", "gain", "alpha"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_optional_tensors_leave_others_alone(tmp_path):
    """A network without them is written, and hashed, as before there were any."""
    assert digest(random_artifact(0)) == "a6e1b609d12bea1e"
    text = (save(random_artifact(0), tmp_path / "net") / "manifest.json").read_text()
    assert '"gain"' not in text and '"a"' not in text


def test_optional_tensors_are_in_all_layers_or_in_none():
    one, other = random_artifact(0, gain=True).layers[0], random_artifact(0).layers[1]
    with pytest.raises(ArtifactError, match="layer 1: gain must be there in all layers"):
        replace(random_artifact(0), layers=(one, other)).check()
    bare = replace(random_artifact(0, gelu_out=True).layers[0], a=np.zeros(0, np.int64))
    with pytest.raises(ArtifactError, match=r"layer 0, a: shape \(0,\), expected \(8,\)"):
        replace(random_artifact(0), layers=(bare,)).check()
