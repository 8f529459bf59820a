"""Which artifact a campaign starts from, and when it is exported again."""

import argparse
import os
import subprocess
from dataclasses import replace

import pytest

from golden.base import made
from quant import origin
from quant.integer import artifact
from quant.integer.synthetic import random_artifact
from sim import inputs

ART = random_artifact(seed=7, n_layers=1, H=2, n=2)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """(folder of the artifact, its checkpoint, parsed options) of a network shipped as net."""
    path = tmp_path / "shipped" / "net.pt"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    monkeypatch.setattr(origin, "SHIPPED", path.parent)
    monkeypatch.setattr(origin, "versions", lambda: {"torch": "2"})
    options = argparse.Namespace(task="net", net="", sampling=None)
    return exported(tmp_path / "made", path), path, options


def exported(folder, path, tuned=None, **options):
    return artifact.save(replace(ART, info={"origin": origin.of(path, tuned, options)}), folder)


def test_an_artifact_is_exported_again_when_its_files_are_others(shipped, tmp_path):
    """By their content: a date says nothing, neither a newer nor an older one."""
    folder, path, options = shipped
    assert artifact.digest(artifact.load(folder)) == artifact.digest(ART)
    path.with_name("net.small.pt").write_bytes(b"another network of the task")
    os.utime(path, (2e9, 2e9))
    assert inputs.export_reason(options, folder) is None
    path.write_bytes(b"WEIGHTS")
    os.utime(path, (1, 1))
    assert inputs.export_reason(options, folder) == f"{folder} was made from another net.pt"
    exported(folder, path)
    tuned = path.with_name("net.qat.pt")
    tuned.write_bytes(b"tuned")
    os.utime(tuned, (1, 1))
    assert inputs.export_reason(options, folder) == f"{folder} was made from another net.qat.pt"
    exported(folder, path, no_qat=True)
    assert inputs.export_reason(options, folder) is None
    exported(folder, path, tuned)
    assert inputs.export_reason(options, folder) is None
    none = tmp_path / "none"
    assert inputs.export_reason(options, none) == f"no artifact in {none}"
    artifact.save(ART, folder)
    assert "does not say what it was made from" in inputs.export_reason(options, folder)


def test_an_artifact_is_exported_again_when_sources_or_sampling_are_others(shipped, monkeypatch,
                                                                           capsys):
    folder, path, options = shipped
    options.sampling = "sobol"
    assert inputs.export_reason(options, folder) == f"{folder} has sampling as trained"
    exported(folder, path, sampling="sobol", state_bits=14)
    assert inputs.export_reason(options, folder) is None
    origin.mention("rtl.synth", folder, "net")
    assert not capsys.readouterr().err
    monkeypatch.setattr(made, "by", lambda kind: "other")
    origin.mention("rtl.synth", folder, "net")
    assert capsys.readouterr().err == (f"rtl.synth: note: {folder} was made by other sources or "
                                       f"libraries; python -m quant.export makes it again\n")
    assert inputs.export_reason(options, folder) == (
        f"{folder} was made by other sources or libraries")
    ran = []

    def run(command, env):
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)
    monkeypatch.setattr(inputs.subprocess, "run", run)
    inputs.export(argparse.Namespace(**vars(options), data_dir=None), folder, "why")
    assert " ".join(ran[0]).endswith(f"quant.export --task net --sampling sobol --state-bits 14 "
                                     f"--out {folder}"), "other options stay as they were"


def test_an_artifact_of_ones_own_stays(shipped, tmp_path, monkeypatch):
    folder, path, options = shipped
    own = tmp_path / "best.pt"
    own.write_bytes(b"mine")
    exported(folder, own)
    assert inputs.export_reason(options, folder) is None
    artifact.save(ART, folder)
    monkeypatch.setattr(origin, "versions", lambda: {"torch": None})    # nothing to export with
    assert inputs.export_reason(options, folder) is None
    monkeypatch.setattr(origin, "versions", lambda: {"torch": "2"})
    path.unlink()
    assert inputs.export_reason(options, folder) is None
