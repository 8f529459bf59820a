"""Lanes where none are given: every shape of a network has some, and which ones is said."""

import argparse

import pytest

from host import session
from quant.integer import artifact
from quant.integer.synthetic import random_artifact
from rtl import axi, generate, synth
from rtl.parts.config import Geometry, allowed, lanes_for
from sim import bench, inputs, utilisation
from tests.sim.task import Tiny

SHAPES = {(67, 5): 5, (67, 1): 1, (67, 2): 2, (48, 5): 5, (48, 1): 8, (48, 2): 8, (64, 4): 8,
          (10, 3): 6, (7, 16): 8, (1, 1): 1}
TASK = ["--task", "tests.sim.task:Tiny"]


@pytest.mark.parametrize("shape, lanes", SHAPES.items(), ids=str)
def test_the_most_up_to_eight(shape, lanes, capsys):
    assert lanes_for(None, *shape) == lanes == max(p for p in allowed(*shape) if p <= 8)
    Geometry(*shape, lanes)
    said = capsys.readouterr().err
    assert (said == "") == (lanes == 8)
    if said:
        assert said.startswith(f"8 lanes do not divide {shape[0]} neurons of {shape[1]} modes: "
                               f"taking {lanes}; --lanes chooses one of ")
        assert said.count("\n") == 1
    assert lanes_for(3, *shape) == 3 and not capsys.readouterr().err


@pytest.fixture
def folder(tmp_path):
    art = random_artifact(1, n_layers=1, H=3, n=5, n_classes=3, length=Tiny.length,
                          sample=Tiny.sample_format)
    return artifact.save(art, tmp_path / "artifact")


@pytest.mark.parametrize("module, options", [(generate, []), (axi, [])],
                         ids=["generate", "axi"])
def test_rtl_is_generated(module, options, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path))
    assert module.main(["--artifact", str(folder), *options]) == 0
    assert "taking 5" in capsys.readouterr().err
    assert [path for path in (tmp_path / "rtl").iterdir() if "_5" in path.name]


def test_every_other_command_chooses_too(folder, tmp_path, monkeypatch, capsys):
    """What each of them does next is the same as with the number given."""
    seen = []
    monkeypatch.setattr(synth, "synthesise", lambda art, lanes, *_, **more: seen.append(lanes) or {
        "family": "ecp5", "lanes": lanes, "cells": {}})
    monkeypatch.setattr(synth, "table", lambda *rest: "")
    assert synth.main(["--artifact", str(folder), "--out", str(tmp_path / "synth")]) == 0
    parser = argparse.ArgumentParser()
    inputs.add_options(parser)
    args = parser.parse_args([*TASK, "--artifact", str(folder)])
    seen.append(inputs.load(args, Tiny())[1].lanes)
    for module in (bench, utilisation):
        monkeypatch.setattr(module, "Core", lambda art, hw: seen.append(hw.lanes) or 1 / 0)
        monkeypatch.setattr(module.tools, "verilator", lambda: None)
        options = ["--artifact", str(folder), *(TASK if module is bench else [])]
        assert module.main(options) == 3
    monkeypatch.setattr(session.simulated, "build", lambda art, hw: seen.append(hw.lanes))
    monkeypatch.setattr(session, "SimulatedBoard", lambda *rest: None)
    parser = argparse.ArgumentParser()
    session.add_port_options(parser)
    session.simulate(parser.parse_args(["--port", "sim"]), artifact.load(folder))
    assert seen == [5, 5, 5, 1, 5]
