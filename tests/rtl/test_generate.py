"""rtl.generate: reproducible Verilog, a memory map that is right, one line for bad input."""

import json
import re
from dataclasses import replace

import pytest

from quant.integer import artifact
from golden.base.qformat import SQ
from quant.integer.synthetic import random_artifact
from rtl import axi, generate
from rtl.parts.config import HardwareConfig
from rtl.core import Core
from rtl.plan import plan
from tests import kills
from tests.rtl.fabric import multiplying

ART = random_artifact(1, n_layers=1, H=2, n=2)
HW = HardwareConfig(lanes=2, signature=False)
FILES = {"core.v", "memory_map.json", "memory_map.md"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The artifact on disk."""
    return artifact.save(ART, tmp_path_factory.mktemp("artifact"))


def files(path):
    return {p.name: p.read_bytes() for p in path.iterdir()}


def run(capsys, *args) -> tuple[int, str]:
    """(exit code, stderr) of the command."""
    code = generate.main([str(arg) for arg in args])
    return code, capsys.readouterr().err


def test_files(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "none")    # the caller's choice does not matter
    code, err = run(capsys, "--artifact", folder, "--lanes", 2, "--no-signature",
                    "--out", tmp_path / "a")
    assert (code, err) == (0, "")
    path = generate.generate(ART, HW, tmp_path / "b")
    assert path == tmp_path / "b" / "core.v"
    assert files(tmp_path / "a") == files(tmp_path / "b")       # the same every time
    assert set(files(tmp_path / "a")) == FILES
    verilog = path.read_text()
    core = Core(ART, HW)
    for name, width in (("i__payload", 9), ("o__payload", core.o.payload.shape().size),
                        ("tap0", core.tap0.shape().size), ("cfg__addr", 24)):
        assert re.search(rf"(in|out)put \[{width - 1}:0\] {name};", verilog), name
    facts = json.loads((tmp_path / "b" / "memory_map.json").read_text())
    assert facts["artifact"] == artifact.digest(ART)
    assert [r["name"] for r in facts["regions"]] == [r.name for r in core.plan.regions]
    table = (tmp_path / "b" / "memory_map.md").read_text()
    assert all(f"| {r.name} | 0x{r.base:06x} | {r.depth} |" in table for r in core.plan.regions)


@pytest.mark.parametrize("residual", ["none", "plain"])
@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_regions_do_not_overlap(lanes, residual):
    """No two words of the image share an address, and each lies in its own region."""
    planned = plan(random_artifact(2, H=4, n=4, residual=residual), HardwareConfig(lanes))
    addresses = [address for address, _ in planned.writes()]
    assert len(set(addresses)) == len(addresses)
    for region in planned.regions:
        assert region.base % region.size == 0
        inside = [a for a in addresses if region.base <= a < region.base + region.size]
        assert len(inside) == region.depth * region.chunks, region.name
        assert max(row.bit_length() for row in region.rows) <= region.width


def test_bad_input_is_one_line(folder, tmp_path, capsys):
    out = tmp_path / "out"
    broken = artifact.save(ART, tmp_path / "broken")
    (broken / "arrays.npz").write_bytes((folder / "arrays.npz").read_bytes()[:-9])
    edge = replace(ART.spiking.edge, dec_w=SQ(40, 6))
    wide = artifact.save(replace(ART, **replace(ART.spiking, edge=edge).parts()),
                         tmp_path / "wide")
    for args, message in (
            (("--artifact", folder, "--lanes", 3), "3 lanes do not divide 2 neurons of 2 modes; "
                                                   "allowed: 1, 2, 4"),
            (("--artifact", folder, "--lanes", 0), "lanes must be at least 1, not 0"),
            (("--artifact", tmp_path / "no"), "no/manifest.json does not exist; make the artifact"),
            (("--artifact", broken), "broken/arrays.npz is no npz file, or is truncated"),
            (("--artifact", wide, "--lanes", 2), "logits need 67 bits, but there are 48")):
        code, err = run(capsys, *args, "--out", out)
        assert code == 2 and err.startswith("rtl.generate: ") and err.count("\n") == 1
        assert message in err
        assert not out.exists()


def test_what_only_the_integer_network_has(tmp_path, capsys):
    folder = artifact.save(multiplying(), tmp_path / "net")
    code, err = run(capsys, "--artifact", folder, "--lanes", 2, "--out", tmp_path / "out")
    assert code == 2 and err.count("\n") == 1 and not (tmp_path / "out").exists()
    assert err.startswith("rtl.generate: layer 0: Mix (a -> n) has weights SQ(8,0) of values")
    assert "quant.evaluate" in err


def test_a_full_disk_leaves_nothing(folder, tmp_path, capsys, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(generate.verilog, "convert", lambda *args, **kwargs: "module")
    monkeypatch.setattr("os.fsync", full)
    code, err = run(capsys, "--artifact", folder, "--lanes", 2, "--out", tmp_path / "out")
    assert code == 2 and err.count("\n") == 1
    assert "No space left on device" in err and "choose another --out" in err
    assert f"cannot write {tmp_path / 'out'}: " in err and not (tmp_path / "out").exists()


def test_an_unreadable_artifact_is_not_one_that_cannot_be_written(folder, tmp_path, capsys,
                                                                  monkeypatch):
    def refused(*args, **kwargs):
        raise PermissionError(13, "Permission denied", args[0])
    monkeypatch.setattr("os.open", refused)
    code, err = run(capsys, "--artifact", folder, "--lanes", 2, "--out", tmp_path / "out")
    assert code == 2 and err == f"rtl.generate: cannot read {folder}: Permission denied\n"


@pytest.mark.parametrize("module", [generate, axi])
def test_a_kill_leaves_the_old_design_or_the_new_one(module, folder, tmp_path, monkeypatch):
    """Never the map of one beside the core of the other; the next run removes what is left."""
    out, texts = tmp_path / "out" / "design", iter(("old", "new", "last"))
    text = [next(texts)]
    monkeypatch.setattr(module.verilog, "convert", lambda *args, **kwargs: text[0])
    monkeypatch.setattr(module, "memory_map", lambda *args: {"of": text[0]})
    monkeypatch.setattr(generate, "_table", lambda *args: text[0])
    hw = HardwareConfig(2)

    def look():
        said = {path.read_text().strip() for path in out.iterdir() if path.suffix != ".core"}
        said = {json.loads(one)["of"] if one[0] == "{" else one for one in said}
        assert len(said) == 1 and said <= {"old", text[0]}
    module.generate(ART, hw, out)
    text[0] = next(texts)
    assert kills.at_every_step(lambda: module.generate(ART, hw, out), look) > 10
    text[0] = next(texts)
    module.generate(ART, hw, out)
    assert [path.name for path in out.parent.iterdir()] == ["design"]


def test_a_task_of_dots_writes_nothing_elsewhere(tmp_path, capsys, monkeypatch):
    """Neither a signed artifact nor an object made in Python leads out of the build folder."""
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.delenv("SPIKESSM_BUILD", raising=False)
    with pytest.raises(artifact.ArtifactError, match="task must be a task's name"):
        artifact.save(replace(ART, task="../../../x"), work / "a")
    folder = artifact.save(ART, work / "a")
    monkeypatch.setattr(generate.verilog, "convert", lambda *args, **kwargs: "module")
    monkeypatch.setattr(artifact, "load", lambda *_: replace(ART, task="../../../x"))
    for module in (generate, axi):
        assert module.main(["--artifact", str(folder), "--lanes", "2"]) == 0
    assert {path.name for path in (work / "build" / "rtl").iterdir()} == {"---..-..-x_2",
                                                                          "---..-..-x_2_axis"}
    outside = {path.name for path in (tmp_path, tmp_path / "deep") for path in path.iterdir()}
    assert outside == {"deep", "work"}
