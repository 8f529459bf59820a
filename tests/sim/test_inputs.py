"""Which artifact a campaign starts from, and when it is exported again."""

import argparse
import os
import subprocess
from dataclasses import replace

import pytest

from golden.base import cli, made
from golden.base.cli import UserError
from quant import current, origin
from quant.integer import artifact
from quant.integer.synthetic import random_artifact

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


def reason(options, folder):
    return current.reason(folder, options.task, options.net, options.sampling)


def exported(folder, path, tuned=None, **options):
    made_from = origin.of(path, tuned, options, folder)
    return artifact.save(replace(ART, info={"origin": made_from}), folder)


def test_an_artifact_is_exported_again_when_its_files_are_others(shipped, tmp_path):
    """By their content: a date says nothing, neither a newer nor an older one."""
    folder, path, options = shipped
    assert artifact.digest(artifact.load(folder)) == artifact.digest(ART)
    path.with_name("net.small.pt").write_bytes(b"another network of the task")
    os.utime(path, (2e9, 2e9))
    assert reason(options, folder) is None
    path.write_bytes(b"WEIGHTS")
    os.utime(path, (1, 1))
    assert reason(options, folder) == f"{folder} was made from another net.pt"
    exported(folder, path)
    tuned = path.with_name("net.qat.pt")
    tuned.write_bytes(b"tuned")
    os.utime(tuned, (1, 1))
    assert reason(options, folder) == f"{folder} was made from another net.qat.pt"
    exported(folder, path, no_qat=True)
    assert reason(options, folder) is None
    exported(folder, path, tuned)
    assert reason(options, folder) is None
    none = tmp_path / "none"
    assert reason(options, none) == f"no artifact in {none}"
    artifact.save(ART, folder)
    assert "does not say what it was made from" in reason(options, folder)


def test_an_artifact_is_exported_again_when_sources_or_sampling_are_others(shipped, monkeypatch,
                                                                           capsys):
    folder, path, options = shipped
    options.sampling = "sobol"
    assert reason(options, folder) == f"{folder} has sampling as trained"
    exported(folder, path, sampling="sobol", state_bits=14)
    assert reason(options, folder) is None
    monkeypatch.setattr(made, "by", lambda kind: "other")
    assert reason(options, folder) == (
        f"{folder} was made by other sources or libraries")
    ran = []

    def run(command, env):
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)
    monkeypatch.setattr(current.subprocess, "run", run)
    current.export(folder, current.words("net", "", "sobol"), None, "why")
    assert " ".join(ran[0]).endswith(f"quant.export --task net --sampling sobol --state-bits 14 "
                                     f"--out {folder}"), "other options stay as they were"


def test_an_artifact_of_ones_own_follows_its_checkpoint(shipped, tmp_path, monkeypatch, capsys):
    """Whether a network of the task is shipped or not; the paths are seen from the artifact."""
    folder, path, options = shipped
    own, tuned = tmp_path / "train" / "best.pt", tmp_path / "qat.pt"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    tuned.write_bytes(b"tuned")
    exported(folder, own)
    assert reason(options, folder) is None and not current.kept(tmp_path / "none")
    own.write_bytes(b"trained again")
    assert reason(options, folder) == f"{folder} was made from another best.pt"
    exported(folder, own, tuned, state_bits=14)
    path.unlink()
    assert reason(options, folder) is None
    tuned.write_bytes(b"tuned again")
    assert reason(options, folder) == f"{folder} was made from another qat.pt"
    assert current.kept(folder) == ["--state-bits", "14", "--checkpoint", str(own),
                                    "--qat", str(tuned)]
    folder = (tmp_path / "made").rename(tmp_path / "train" / "moved")
    own.unlink()
    assert reason(options, folder) is None
    assert "which is gone: it stays as it is" in capsys.readouterr().err


def test_nothing_to_export_from(shipped, monkeypatch):
    folder, path, options = shipped
    artifact.save(ART, folder)
    monkeypatch.setattr(origin, "versions", lambda: {"torch": None})
    assert reason(options, folder) is None
    path.unlink()
    monkeypatch.setattr(origin, "versions", lambda: {"torch": "2"})
    assert reason(options, folder) is None
    with pytest.raises(UserError, match=r"no network is shipped for task net; make it with: python "
                                        r"-m quant.export --task net --checkpoint .*best\.pt"):
        reason(options, folder / "none")


@pytest.mark.parametrize("task, parts", [
    ("digits", ("digits", "", None)), ("digits.small", ("digits", "small", None)),
    ("digits.sobol", ("digits", "", "sobol")), ("a.b:C", ("a.b:C", "", None)),
    ("digits.small.systematic", ("digits", "small", "systematic"))])
def test_a_task_written_as_its_folder(task, parts):
    assert current.chosen(argparse.Namespace(task=task)) == parts


@pytest.mark.parametrize("ended, code", [(1, 2), (2, 2), (3, 3), (130, 130), (-9, 2)])
def test_a_fault_of_the_export_is_no_mistake_of_the_users(ended, code, monkeypatch, tmp_path):
    monkeypatch.setattr(current.subprocess, "run",
                        lambda command, env: subprocess.CompletedProcess(command, ended))
    assert cli.code("sim", lambda: current.export(tmp_path, [], None, "why")) == code
