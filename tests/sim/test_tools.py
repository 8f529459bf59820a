"""Builds and work folders: whole or not there, and what a kill leaves goes with the next run."""

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from quant.integer import artifact
from quant.integer.synthetic import random_artifact
from sim import tools, utilisation
from tests import kills


def killed(act) -> None:
    child = os.fork()
    if not child:
        try:
            act()
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def dies(folder):
    (folder / "large").write_bytes(bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_build_goes_with_the_next_one_of_any_name(tmp_path):
    """The name is a hash of the sources: after a change there is no second build of it."""
    for name in ("abc", "def"):
        killed(lambda: tools.cached(tmp_path / name, dies))
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    tools.cached(tmp_path / "other", lambda folder: (folder / "sim").write_text("x"))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_killed_runs_folder_goes_with_the_next_run(tmp_path):
    def run():
        with tools.workspace(tmp_path) as work:
            dies(work)
    for _ in range(2):
        killed(run)
        assert len(list(tmp_path.iterdir())) == 1
    with tools.workspace(tmp_path) as work:
        assert list(tmp_path.iterdir()) == [work]
        with tools.workspace(tmp_path) as other:        # of another run, which is alive
            assert sorted(tmp_path.iterdir()) == sorted([work, other])
        assert list(tmp_path.iterdir()) == [work]
    assert not list(tmp_path.iterdir())


def test_a_build_is_whole_or_not_there(tmp_path):
    def build(folder):
        for name in "ab":
            (folder / name).write_text(name)

    def look():
        assert not (tmp_path / "made").exists() or len(list((tmp_path / "made").iterdir())) == 2
    kills.at_every_step(lambda: tools.cached(tmp_path / "made", build), look)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def fails(folder):
        (folder / "half").write_text("x")
        raise tools.SimError("compiling failed")
    with pytest.raises(tools.SimError, match="compiling failed"):
        tools.cached(tmp_path / "made", fails)
    assert not list(tmp_path.iterdir())


def test_a_compiler_that_speaks_another_encoding(tmp_path, monkeypatch):
    (tmp_path / "g++").write_text("#!/bin/sh\nprintf 'f\\374r'; exit 1\n")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert tools.compiler.__wrapped__() == "f\ufffdr"
    with pytest.raises(tools.SimError, match="compiling failed with exit code 1:\nf\ufffdr"):
        tools.call(["g++"], tmp_path, dict(os.environ), "compiling")


def test_other_cycles_than_predicted_are_a_difference(tmp_path, monkeypatch, capsys):
    folder = artifact.save(random_artifact(1, n_layers=1, H=4, n=2, length=4), tmp_path / "net")
    out = SimpleNamespace(times=[1], answers={"busy": np.zeros(1)})
    monkeypatch.setattr(utilisation.program, "build", lambda core: None)
    monkeypatch.setattr(utilisation.native, "run", lambda *_, **__: ([out], None))
    command = ["--artifact", str(folder), "--lanes", "2", "--build", str(tmp_path)]
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path))
    assert utilisation.main(command) == 1
    assert "results in cycles [1], predicted" in capsys.readouterr().err
