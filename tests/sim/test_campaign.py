"""Campaigns and ``python -m sim`` on a small core: agreement, differences, bad input."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from quant.integer import artifact, lfsr, vectors
from golden.tasks.formats import MU_LAW
from quant.integer.synthetic import random_artifact
from rtl import cycles
from rtl.parts.config import HardwareConfig
from rtl.core import Core
from rtl.plan import plan
from sim import __main__ as cli
from quant import current
from sim import campaign, comparer, pysim, tools
from sim.compare import Tally
from tests.sim.task import Tiny

ART = random_artifact(seed=7, n_layers=2, H=4, n=2, n_classes=3, length=16_384, stress=0.1,
                      sample=MU_LAW)
HW = HardwareConfig(lanes=2)
TASK = "tests.sim.task:Tiny"
KEYS = {"task", "indices", "sequences", "steps", "spikes_compared", "signatures_compared",
        "mismatches", "equal", "cycles_per_step", "predicted_cycles", "simulated_cycles",
        "steps_per_second", "accuracy", "artifact", "lanes", "seed", "cocotb"}


@pytest.fixture
def split():
    return Tiny().load("test")


def run(split, folder, **options):
    """A campaign on HW; ``options`` are those of ``campaign.run`` and ``campaign.Options``."""
    own = {name: options.pop(name) for name in ("indices", "report", "progress") if name in options}
    return campaign.run(ART, split.values, split.lengths, campaign.Options(
        HW, folder=folder, **{"with_cocotb": False} | options), **own)


@pytest.fixture
def args(tmp_path):
    artifact.save(ART, tmp_path / "artifact")
    return ["--task", TASK, "--lanes", "2", "--artifact", str(tmp_path / "artifact")]


def wrong_expected(monkeypatch, layer, step, neuron):
    """Turn one expected spike of every sequence."""
    right = vectors.expected

    def turned(*given):
        traces = right(*given)
        for trace in traces:
            trace.s_out[layer, min(step, trace.s_out.shape[1] - 1), neuron] ^= 1
        return traces
    monkeypatch.setattr(vectors, "expected", turned)


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_lanes_change_nothing(split, lanes):
    """In Amaranth's simulator: the same traces and exactly the predicted cycles."""
    core = Core(ART, HardwareConfig(lanes))
    lengths = [int(v) for v in split.lengths]
    out = pysim.run(core, [v[:n] for v, n in zip(split.values, lengths)], limit=4000)
    tally = Tally(core.geo.words)
    for number, trace in enumerate(vectors.expected(ART, split.values, split.lengths, threads=1)):
        tally.add(number, trace, out.rows(number), out.result(number))
    tally.surplus(5, *out.surplus())
    assert tally.equal, tally.first
    assert out.cycles == cycles.predict(ART, core.hw, lengths).results


@pytest.mark.cosim
def test_both_rungs_agree(split, tmp_path):
    report = run(split, tmp_path, with_cocotb=True)
    assert report.equal, report.first
    assert report.total("spikes") == 2 * 2 * split.lengths.sum() * 4
    assert report.total("predicted") == report.total("simulated") > 0
    assert report.cocotb["equal"] and report.cocotb["steps"] == 12


@pytest.mark.cosim
def test_a_long_sequence(tmp_path):
    """16,384 signed samples, most of the time at both ends of their range."""
    values = np.random.default_rng(3).integers(-400, 400, (1, ART.length)).clip(-128, 127)
    options = campaign.Options(HW, folder=tmp_path, with_cocotb=False)
    report = campaign.run(ART, values, None, options)
    assert report.equal, report.first
    assert report.total("spikes") == 2 * 2 * ART.length * 4
    assert report.total("predicted") == report.total("simulated") > 4 * ART.length


@pytest.mark.cosim
@pytest.mark.parametrize("seed", [1, 0xFFFFFFFF])
def test_seed_over_the_configuration_port(split, tmp_path, seed):
    report = run(split, tmp_path, seed=seed, stall=0.5)
    assert report.equal, report.first
    assert (report.seed, report.master_seed) == (seed, lfsr.master_seed(ART.random, seed))
    writes = plan(ART, HW).seed_writes(report.master_seed)
    assert len(writes) == 6     # three streams in each of two layers, nothing else


@pytest.mark.cosim
def test_two_runs_at_once(split, tmp_path):
    """One inside of the other, in the same folder: neither disturbs the other, nothing stays."""
    inner = []

    def nested(steps):
        if not inner:
            inner.append(run(split, tmp_path))
    outer = run(split, tmp_path, progress=nested)
    assert outer.equal and inner[0].equal and outer.labels == inner[0].labels
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cosim
def test_two_processes(split, tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "SPLIT_STEPS", 10)
    done = []
    report = run(split, tmp_path, progress=done.append)
    assert report.equal and report.complete and max(done) == split.lengths.sum()
    assert [(part.start, part.stop) for part in report.parts] == [(0, 3), (3, 6)]


@pytest.mark.cosim
def test_cocotb_sees_differences(split, tmp_path, monkeypatch):
    wrong_expected(monkeypatch, 1, 4, 2)
    report = run(split, tmp_path, with_cocotb=True, indices=np.arange(40, 46))
    assert not report.cocotb["equal"] and report.cocotb["mismatches"] == 1
    assert report.cocotb["first"].startswith("sequence 40, layer 1, step 4, neuron 2, s_out: ")


@pytest.mark.cosim
def test_wrong_prediction_is_a_difference(split, tmp_path, monkeypatch):
    right = comparer.predict

    def late(*given):
        found = right(*given)
        return replace(found, results=[r + (k > 2) for k, r in enumerate(found.results)])
    monkeypatch.setattr(comparer, "predict", late)
    report = run(split, tmp_path)
    assert report.first.startswith("sequence 3, cycle of the result: expected ")


@pytest.fixture
def small_parts(monkeypatch):
    """Three parts of two sequences in one process."""
    monkeypatch.setattr(campaign, "PART", 2)


@pytest.mark.cosim
def test_goes_on_after_an_interruption(split, tmp_path, small_parts):
    journal, seen = tmp_path / "journal", []

    def interrupt(steps):
        if steps > 13:          # the first part's
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        run(split, tmp_path, journal=journal, progress=interrupt)
    file, = tmp_path.glob("journal.*.jsonl")
    assert len(file.read_text().splitlines()) == 2
    with open(file, "a") as opened:
        opened.write('{"start": 2, "st')       # a line that was being written
    report = run(split, tmp_path, journal=journal, progress=seen.append)
    assert report.equal and report.complete and min(seen) >= 13
    assert report.total("steps") == split.lengths.sum() == max(seen)
    assert (report.labels, report.total("simulated")) == plain(split, tmp_path)
    assert len(file.read_text().splitlines()) == 4
    again = run(split, tmp_path, journal=journal, progress=seen.append)
    assert again.labels == report.labels and again.seconds == report.seconds


def plain(split, folder):
    report = run(split, folder)
    return report.labels, report.total("simulated")


@pytest.mark.cosim
def test_another_seed_starts_anew(split, tmp_path, small_parts):
    journal, said = tmp_path / "journal", []
    run(split, tmp_path, journal=journal)
    report = run(split, tmp_path, journal=journal, seed=5, report=said.append)
    assert any("of other sources, libraries, hardware or sequences" in line for line in said)
    assert [len(file.read_text().splitlines()) for file in tmp_path.glob("journal.*.jsonl")] == [
        4, 4] and report.complete
    seen = []
    run(split, tmp_path, journal=journal, progress=seen.append)
    assert not seen, "the first one's parts are still there"


@pytest.mark.cosim
def test_a_difference_ends_the_campaign(split, tmp_path, small_parts, monkeypatch):
    wrong_expected(monkeypatch, 1, 4, 2)
    report = run(split, tmp_path, journal=tmp_path / "journal")
    assert len(report.parts) == 1 and not report.complete and not report.equal
    assert report.first == "sequence 0, layer 1, step 4, neuron 2, s_out: expected 1, got 0" or \
        report.first == "sequence 0, layer 1, step 4, neuron 2, s_out: expected 0, got 1"
    again = run(split, tmp_path, journal=tmp_path / "journal")
    assert again.first == report.first and len(again.parts) == 1


@pytest.mark.cosim
def test_command(args, capsys):
    assert cli.main([*args, "-n", "4"]) == 0
    row = json.loads((tools.build_folder("tests.sim.task-Tiny", "report.json")).read_text())
    assert KEYS <= set(row) and row["equal"] is True and row["mismatches"] == 0
    assert row["indices"] == [0, 1, 2, 3] and row["steps"] == 12 + 1 + 7 + 12
    out = capsys.readouterr().out
    assert "agreement" in out and "equal" in out and f"{row['simulated_cycles']:,}" in out


@pytest.mark.cosim
def test_command_with_a_difference(args, capsys, monkeypatch):
    wrong_expected(monkeypatch, 0, 2, 3)
    assert cli.main([*args, "--indices", "5,2"]) == 1
    captured = capsys.readouterr()
    assert "DIFFERENT" in captured.out
    assert "first difference: sequence 5, layer 0, step 2, neuron 3, s_out" in captured.err
    row = json.loads((tools.build_folder("tests.sim.task-Tiny", "report.json")).read_text())
    assert row["equal"] is False and row["mismatches"] == 2 and row["indices"] == [5, 2]


def test_a_failing_export_is_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path))
    monkeypatch.setattr(current.subprocess, "run",
                        lambda command, env: subprocess.CompletedProcess(command, 2))
    assert cli.main(["--task", "digits"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[0].startswith("no artifact in") and lines[-1].startswith("sim: the export failed")


@pytest.mark.parametrize("change, text", [
    (["--task", "nope"], "task 'nope' is unknown"),
    (["--lanes", "3"], "3 lanes do not divide 4 neurons of 2 modes; allowed: 1, 2, 4, 8"),
    (["--indices", "6"], "sequences 0..5"),
    (["-n", "7"], "has 6 sequences"),
    (["--seed", "0"], "--seed 0: it must be in 1..4294967295"),
    (["--artifact", "no/such/folder"], "no/such/folder"),
    (["--net", "small"], "--net chooses what is exported; leave it or --artifact out"),
    (["--sampling", "sobol"], "--sampling chooses what is exported"),
    (["--task", "digits"], "is not for task digits: its number of classes is 3"),
    (["--task", "psmnist", "--data-dir", "no/such/data"], "no/such/data"),
])
def test_bad_input_is_one_line(args, change, text, capsys):
    assert cli.main([*args, *change]) == 2
    err = capsys.readouterr().err
    assert text in err and len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("change", [["-n", "0"], ["--indices", "1,x"], ["--stall", "1"],
                                    ["--lanes", "-2"], ["-n", "2", "--indices", "1"]])
def test_bad_options_are_refused(args, change, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*args, *change])
    assert end.value.code == 2 and "error:" in capsys.readouterr().err


def test_edited_artifact(args, tmp_path, capsys):
    (tmp_path / "artifact" / "arrays.npz").write_bytes(b"x")
    assert cli.main(args) == 2
    assert "truncated or edited" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["g++", "make", "perl"])
def test_missing_compiler(args, missing, monkeypatch, capsys):
    which = shutil.which
    monkeypatch.setattr(tools.shutil, "which",
                        lambda name, *more: None if name == missing else which(name, *more))
    tools.verilator.cache_clear()
    try:
        assert cli.main(args) == 2
    finally:
        tools.verilator.cache_clear()
    assert capsys.readouterr().err == \
        f"sim: {missing} not found; install with: sudo apt-get install g++ make perl\n"
