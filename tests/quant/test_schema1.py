"""Artifacts of schema 1 load as operations; what their manifests may not say is refused."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from quant.integer import artifact
from quant.integer.artifact import ArtifactError, digest, load, save
from quant.integer.ops import Limit, Mix, Table
from tests.quant.toy import content

FROZEN = Path(__file__).resolve().parents[1] / "frozen" / "artifacts.zip"


def names() -> list[str]:
    with zipfile.ZipFile(FROZEN) as file:
        return sorted({name.split("/")[0] for name in file.namelist()})


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """Folders of all frozen artifacts, which the code of before wrote."""
    folder = tmp_path_factory.mktemp("frozen")
    with zipfile.ZipFile(FROZEN) as file:
        file.extractall(folder)
    return folder


def of_kind(frozen, **options) -> Path:
    """The first folder whose manifest has these options."""
    return next(frozen / name for name in names() if options.items() <= json.loads(
        (frozen / name / "manifest.json").read_text()).items())


def test_all_load_and_are_written_anew(frozen, tmp_path):
    """The same network again from today's file. Tensors of before are all there."""
    assert len(names()) >= 60
    for name in names():
        assert json.loads((frozen / name / "manifest.json").read_text())["schema"] == 1
        art = load(frozen / name)
        back = load(save(art, tmp_path / name))
        np.testing.assert_equal(content(back), content(art), err_msg=name)
        assert digest(back) == digest(art)
        with np.load(frozen / name / "arrays.npz") as before, \
                np.load(tmp_path / name / "arrays.npz") as after:
            sums = sorted(int(before[k].sum()) for k in before.files
                          if before[k].size and not k.endswith((".negate", "directions")))
            now = [int(after[k].sum()) for k in after.files]
            for each in sums:
                assert each in now, (name, each)
                now.remove(each)


def edited(folder, target, change) -> Path:
    shutil.copytree(folder, target)
    manifest = json.loads((target / "manifest.json").read_text())
    change(manifest)
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


@pytest.mark.parametrize("change, text", [
    (lambda m: m.pop("act"), "missing act"),
    (lambda m: m.update(act="tanh"), "act must be one of relu, identity, gelu, not 'tanh'"),
    (lambda m: m.update(residual="sum"), "residual must be one of none, clampfuse, plain"),
    (lambda m: m.update(rounding="floor"), "rounding must be one of stochastic, half_even"),
    (lambda m: m.update(sampling="mean"), "sampling must be one of bernoulli, sobol, systematic"),
    (lambda m: m.update(sampling="sobol"), "manifest.json: "),
    (lambda m: m.pop("sampling"), "missing sampling"),
    (lambda m: m.update(seed=0), "seed must be in 1"),
    (lambda m: m.update(layer_formats=[]), "manifest.json: "),
    (lambda m: m["layer_formats"][0].update(w="8 bits"), "'8 bits' is not a number format"),
    (lambda m: m["layer_formats"][0].update(w="SQ(2,0)"), r"layer 0, Mix .*, w: .* outside SQ"),
    (lambda m: m["layer_formats"].append(m["layer_formats"][0]), "missing"),
    (lambda m: m["edge_formats"].update(sample=None), "sample format"),
    (lambda m: m.update(n_classes=9), r"decoder_w: shape .*, expected \(9, "),
    (lambda m: m.update(length=1 << 30), "a rounding stream needs"),
    (lambda m: m["random"].update(stream_jump=1 << 31), "the generator repeats"),
    (lambda m: m.update(vocab=-3), "vocab must be a whole number of at least 0, not -3"),
    (lambda m: m["random"].update(round_bits=0), "0 of stochastic rounding, at least 1"),
    (lambda m: m.update(edge_formats=3), "manifest.json: "),
    (lambda m: m.pop("info"), "missing info"), (lambda m: m.pop("shape"), "missing shape"),
    (lambda m: m.update(more=1), "unknown more"),
    (lambda m: m["layer_formats"][0].pop("g"), "LayerFormats: missing g"),
    (lambda m: m["layer_formats"][1].pop("alpha"), "LayerFormats: missing alpha"),
    (lambda m: m["layer_formats"][1].update(y="SQ(4,12)"), "LayerFormats: unknown y"),
    (lambda m: m["layer_formats"][1].update(h=None), "None is not a number format"),
    (lambda m: m["layer_formats"][1].update(gain="SQ(4,12)"), "the arrays: missing layer1.gain"),
    (lambda m: m["layer_formats"].pop(), "the arrays: unknown layer1"),
    (lambda m: m["edge_formats"].pop("sample"), "EdgeFormats: missing sample"),
    (lambda m: m["edge_formats"].update(enc_w=None), "None is not a number format"),
    (lambda m: m["random"].pop("k"), "RandomFormat: missing k"),
    (lambda m: m["random"].update(taps=[]), "taps must be in"),
    (lambda m: m["random"].update(taps=[32, 2]), "not primitive"),
    (lambda m: m["random"].update(width=10 ** 7), "width must be in 1..64"),
    (lambda m: m.update(seed=True), "seed must be in"),
    (lambda m: m.update(residual="plain"), "layer 0: residual is plain, but alpha and beta are em"),
    (lambda m: m.update(residual=["none"]), "residual must be one of"),
    (lambda m: m.update(shape={}), "shape: missing H, layers, n"),
    (lambda m: m["shape"].update(H=7), r"shape is \{.*\}, but the arrays have \{'layers': 2, "),
    (lambda m: m.update(task="../x"), "task must be a task's name"),
    (lambda m: m.update(head_formats={}), "HeadFormats: missing b1, b2, hidden"),
    (lambda m: m.update(arrays_sha256="0"), "sha256: truncated or edited; export again")])
def test_manifests_of_samplers(frozen, tmp_path, change, text):
    folder = of_kind(frozen, act="relu", residual="clampfuse", rounding="stochastic", vocab=0,
                     sampling="bernoulli")
    with pytest.raises(ArtifactError, match=text) as error:
        load(edited(folder, tmp_path / "a", change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change, text", [
    (lambda m: m.update(network="other"), "network must be one of gated, not 'other'"),
    (lambda m: m.update(mixer="linear"), "mixer must be one of glu, gsu, not 'linear'"),
    (lambda m: m.update(residual="clampfuse"), "residual must be one of none, plain"),
    (lambda m: m.update(norm_position="mid"), "norm_position must be one of pre, post"),
    (lambda m: m.update(fires_at_zero=2), "fires_at_zero must be one of 0, 1, not 2"),
    (lambda m: m.update(threshold=256), "threshold must be one of 0, 1, 2, "),
    (lambda m: m.update(seed=0), "seed must be in"),
    (lambda m: m["formats"].update(layers=[]), "manifest.json: "),
    (lambda m: m["formats"]["layers"][0].pop("table"), "manifest.json: layer 0: missing table"),
    (lambda m: m["formats"]["layers"][0].update(w=None), "None is not a number format"),
    (lambda m: m["formats"].update(rounding="half_even"), "rounding is '.*' and '.*'"),
    (lambda m: m["formats"].update(more=1), "formats: unknown more"),
    (lambda m: m.update(fires_at_zero=True), "fires_at_zero must be one of 0, 1, not True"),
    (lambda m: m.update(threshold=38.0), "threshold must be one of 0, 1, 2"),
    (lambda m: m["formats"]["edge"].update(dec_b="SQ(40,3)"), "decoder_b SQ.40,3. must have"),
    (lambda m: m.pop("mixer"), "manifest.json: .*missing mixer; export again"),
    (lambda m: m.update(arrays_sha256="0"), "sha256: truncated or edited; export again")])
def test_manifests_of_gates(frozen, tmp_path, change, text):
    folder = of_kind(frozen, mixer="gsu")
    with pytest.raises(ArtifactError, match=text) as error:
        load(edited(folder, tmp_path / "a", change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("mixer, kind, limits", [("glu", "sigmoid", 3), ("gsu", "gelu", 5)])
def test_gates_are_operations(frozen, mixer, kind, limits):
    """What has a memory, a table and a limit in each kind, by hand."""
    folder = of_kind(frozen, mixer=mixer, norm_position="pre")
    art, written = load(folder), json.loads((folder / "manifest.json").read_text())["formats"]
    for ops, formats in zip(art.blocks, written["layers"], strict=True):
        mixes = [op for op in ops if isinstance(op, Mix)]
        assert {op.makes for op in mixes} == {"n", "gate"} and len(mixes) == 2
        for op in mixes:
            begin = "gate_" * (op.makes == "gate")
            assert {name: str(t.fmt) for name, t in op.tensors.items()} == {
                name: formats["shift" if name == "shift" else begin + name] for name in op.tensors}
        assert [op.kind for op in ops if isinstance(op, Table)] == [kind]
        assert sum(isinstance(op, Limit) and op.counted for op in ops) == limits
    with pytest.raises(ArtifactError, match=r"layer 0: found Scale \(x -> u\), but"):
        art.spiking


def test_an_unknown_schema_is_refused(frozen, tmp_path):
    folder = edited(of_kind(frozen, mixer="glu"), tmp_path / "a", lambda m: m.update(schema=4))
    with pytest.raises(ArtifactError, match=f"has schema 4, this version reads schema 1 to "
                                            f"{artifact.SCHEMA}; update the project or export"):
        load(folder)
