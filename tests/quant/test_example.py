"""The worked example of docs/operations.md: its commands as the page has them; what they made."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import operations
from golden import checkpoint
from golden.model import config, families
from golden.training.batches import batch_of
from quant import finetune, prepare, tuned
from quant.formats import QuantConfig
from quant.integer import artifact, reference
from quant.integer.network import IntegerNetwork, Vectorised
from quant.integer.operation import ArtifactError, Tensor
from quant.tune import convert, ranges
from quant.tune.draws import LfsrDraws
from quant.tune.fit import ExportError
from quant.tune.qat import QuantNetwork
from rtl.layer.cells import CELLS
from rtl.parts.config import HardwareError
from rtl.plan import plan

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
EXPORT = re.search(r"`export (\w+)=(\S+)`", PAGE).groups()
COMMANDS = re.search(r"```sh\n(.*?)```", PAGE, re.S)[1].splitlines()


def run(folder: Path, simulates: bool) -> dict:
    """Exit code and output of the page's commands, of simulation or of all else."""
    name, path = EXPORT
    before = [p for p in os.environ.get("PYTHONPATH", "").split(":") if p]
    env = {key: value for key, value in os.environ.items() if key != "SPIKESSM_BUILD"}
    env[name] = ":".join([*before, str(ROOT), path])
    said = {}
    for line in COMMANDS:
        python, *arguments = shlex.split(line)
        assert python == "python"
        if (arguments[1] == "sim") == simulates:
            done = subprocess.run([sys.executable, *arguments], cwd=folder, env=env, text=True,
                                  capture_output=True, timeout=580)
            said[arguments[1]] = done.returncode, done.stdout, done.stderr
    return said


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the page's commands print, their exit codes, and the folder in which they ran.

    Without the simulation, which takes longest and makes nothing that others read.
    """
    folder = tmp_path_factory.mktemp("example")
    (folder / "docs").symlink_to(ROOT / "docs")
    return run(folder, simulates=False), folder / "build"


@pytest.fixture(scope="module")
def found(made):
    """The float network, and the artifact as it is loaded; other tests know nothing of them."""
    path, known = str(ROOT / "docs" / "examples"), (config.FAMILIES, families.FAMILIES)
    before = [dict(entries) for entries in known]
    sys.path.append(path)
    best = made[1] / "train" / "leaky.task-Bursts" / "best.pt"
    yield (checkpoint.load(best, task="leaky.task:Bursts"),
           artifact.load(made[1] / "artifacts" / "leaky.task-Bursts"))
    sys.path.remove(path)
    for entries, old in zip(known, before):
        entries.clear()
        entries.update(old)


def the_leak(art):
    """(place in the first block, operation)."""
    return next((i, op) for i, op in enumerate(art.blocks[0]) if type(op).__name__ == "Leak")


def test_the_page_has_the_files():
    assert operations.fill(PAGE) == PAGE, "run python -m bench.operations --write"
    for path in (ROOT / "docs" / "examples" / "leaky").iterdir():
        if path.suffix in (".py", ".toml") and path.name != "__init__.py":
            assert f"`leaky/{path.name}`, " in PAGE and path.read_text() in PAGE


def test_the_commands_do_what_the_page_says(made):
    said = made[0] | run(made[1].parent, simulates=True)
    assert [*said] == ["golden.train", "quant.export", "quant.evaluate", "sim"]
    for module, (code, *texts) in said.items():
        assert code == 0, (module, texts)
    assert re.search(r"agreement .* equal .* equal", said["sim"][1])


def test_hardware_reads_the_artifact_without_torch(made):
    """With the integer side of the example alone."""
    code = ("import sys; sys.modules['torch'] = None; sys.path.append(sys.argv[2])\n"
            "import leaky.operation; from quant.integer import artifact\n"
            "artifact.load(sys.argv[1])")
    paths = made[1] / "artifacts" / "leaky.task-Bursts", ROOT / "docs" / "examples"
    subprocess.run([sys.executable, "-c", code, *map(str, paths)], cwd=ROOT, check=True,
                   timeout=120)


def test_floats_and_integers_agree(found):
    """Every class but a few; at least 8 of 10 are right, as the page says about nine."""
    trained, art = found
    split = trained.task.load("test")
    values, lengths, _ = batch_of(split, np.arange(len(split)), trained.task)
    with torch.no_grad():
        logits = trained.network(values, lengths).numpy()
    batch = IntegerNetwork(art).run(split.values, split.lengths)
    assert (logits.argmax(1) == batch.labels).mean() > 0.97
    assert (batch.labels == split.labels).mean() > 0.8 and not batch.saturations.any()
    integers = batch.logits[:, 1] - batch.logits[:, 0]
    assert np.corrcoef(logits[:, 1] - logits[:, 0], integers)[0, 1] > 0.99


def test_the_fast_network_equals_the_reference(found):
    """Of ragged lengths; in narrow membranes too, which saturate."""
    art = found[1]
    i, op = the_leak(art)
    v, narrow = replace(op.v, i_bits=1), list(art.blocks[0])
    narrow[i] = replace(op, v=v, theta=Tensor(np.full_like(op.theta.raw, v.hi // 2), op.theta.fmt))
    values = found[0].task.load("test").values[:5]
    lengths, over = np.array([40, 1, 17, 39, 40]), []
    for net in (art, replace(art, blocks=(tuple(narrow), *art.blocks[1:])).check()):
        fast = IntegerNetwork(net)
        assert isinstance(fast, Vectorised)
        batch = fast.run(values, lengths, record=True)
        assert net.memories == ("h", "v")
        for k, L in enumerate(lengths):
            want, trace = reference.execute(net, values[k, :L]), batch.trace(k)
            for name, raw in vars(reference.run(net, values[k, :L])).items():
                np.testing.assert_array_equal(getattr(trace, name), raw, name)
            np.testing.assert_array_equal(batch.logits[k], want.logits)
            for name, counts in want.over.items():
                np.testing.assert_array_equal(batch.over[name][k], counts, name)
        over.append(batch.over["v"].sum())
    assert over[0] == 0 < over[1]


def test_an_integer_membrane_by_hand(found):
    """In Python's own integers: leak 3/4, theta 2, one fraction bit."""
    op = the_leak(found[1])[1]
    leak, v, y = (replace(fmt, f_bits=bits) for fmt, bits in
                  ((op.leak.fmt, 2), (op.v, 1), (op.v, 1)))
    op = replace(op, leak=Tensor(np.array([3]), leak), theta=Tensor(np.array([4]), v),
                 v=replace(v, i_bits=3))
    run, spikes, membranes = op.begin((y,), None), [], []
    for step in (3, 2, 1, -10, 9, 9, 0, -1):
        spikes.append(int(run(np.array([step]))[0]))
        membranes.append(int(run.v[0]))
    # 3; 2.25 + 2 = 4, fires, 0; 1; 0.75 - 10 = -9, cut to -8; -6 + 9 = 3; 2.25 + 9 = 11, cut to 7,
    # fires, 3; 2.25 = 2; 1.5 - 1 = 0.5 = 0, the even one
    assert spikes == [0, 1, 0, 0, 0, 1, 0, 0] and membranes == [3, 0, 1, -8, 3, 3, 2, 0]
    assert run.over == 2


def test_the_model_on_the_grid_equals_the_reference(found):
    """In float64 the spikes of every block; and its leaks and thresholds are the artifact's."""
    trained, art = found
    net = QuantNetwork(convert.to_program(art)).double().eval()
    split, record = trained.task.load("test").take(np.arange(3)), []
    values, lengths, _ = batch_of(split, np.arange(3), trained.task)
    with torch.no_grad():
        net(values.double(), lengths, form="recurrence", draws=LfsrDraws(art), record=record)
    for k in range(3):
        want = reference.execute(art, split.values[k])
        for j, block in enumerate(record):
            np.testing.assert_array_equal(block["s_out"][k].numpy(), want.values["s_out"][j])
    here, there = the_leak(art)[1], the_leak(net.integers())[1]
    for name, tensor in here.tensors.items():
        np.testing.assert_array_equal(tensor.raw, there.tensors[name].raw)


def test_fine_tuning_moves_leak_and_threshold(found, tmp_path):
    trained, _ = found
    prepared = prepare.prepare(trained, trained.task.load("train"), {"norms": 64, "ranges": 32})
    net = prepared.model(QuantConfig())
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    finetune.finetune(prepared.found, net, tmp_path / "tuned.pt", steps=2, batch=16)
    moved = [name for name, p in net.named_parameters()
             if name.endswith((".leak", ".theta")) and not torch.equal(p, before[name])]
    assert len(moved) == 4
    again = tuned.load(tmp_path / "tuned.pt", prepared.found)
    made = [convert.to_artifact(each, "bursts", 40, 1, {}) for each in (net, again)]
    assert artifact.digest(made[0]) == artifact.digest(made[1])


def test_membranes_are_in_reports_and_must_fit(found):
    trained, art = found
    rows = {(row["layer"], row["tensor"]): row for row in art.info["ranges"]}
    i, op = the_leak(art)
    assert rows[0, "v"]["format"] == str(op.v) and (1, "v") in rows
    assert art.info["saturations"]["v"] == [0, 0, 0]
    seen = prepare.measure(convert.without_formats(convert.to_program(art)),
                           trained.task.load("train"), trained.task, 32)
    block = list(art.blocks[0])
    block[i] = replace(op, v=replace(op.v, i_bits=op.v.i_bits - 2))
    ranges.check_seen(seen, art, 1.0)
    with pytest.raises(ExportError, match=r"layer 0, v: \d+ of 16 values leave SQ"):
        ranges.check_seen(seen, replace(art, blocks=(tuple(block), *art.blocks[1:])), 1.0)


def test_the_plan_refuses_it_without_its_cell(found, monkeypatch):
    assert plan(found[1]).layers[0].fused
    monkeypatch.delitem(CELLS, type(the_leak(found[1])[1]))
    with pytest.raises(HardwareError, match=r"^layer 0: Leak \(y -> s_out\) has no component in"):
        plan(found[1])


@pytest.mark.parametrize("change, message", [
    (lambda op: {"theta": Tensor(op.theta.raw * 0, op.theta.fmt)}, "theta must be above 0"),
    (lambda op: {"leak": Tensor(op.leak.raw, replace(op.leak.fmt, i_bits=1))}, "leak must be UQ"),
    (lambda op: {"v": replace(op.v, f_bits=op.v.f_bits + 1)}, "theta .* the fraction bits of SQ"),
    (lambda op: {"theta": Tensor(op.theta.raw[1:], op.theta.fmt)}, r"theta: shape \(15,\)")])
def test_wrong_tensors_are_refused(found, change, message):
    art = found[1]
    i, op = the_leak(art)
    block = list(art.blocks[0])
    block[i] = replace(op, **change(op))
    with pytest.raises(ArtifactError, match=rf"layer 0, Leak \(y -> s_out\).*{message}"):
        replace(art, blocks=(tuple(block), *art.blocks[1:])).check()


@pytest.mark.parametrize("name, message", [
    ("this:Leak", "operation this:Leak is not loaded; import this first"),
    ("leaky.operation:Membrane", "operation leaky.operation:Membrane is not loaded"),
    ("Leak", "operation Leak is unknown; known: .*States.* package.module:Class")])
def test_unknown_operations_are_refused(found, made, tmp_path, monkeypatch, name, message):
    folder = made[1] / "artifacts" / "leaky.task-Bursts"
    text = (folder / "manifest.json").read_text()
    assert text.count('"leaky.operation:Leak"') == 2
    (tmp_path / "manifest.json").write_text(text.replace("leaky.operation:Leak", name))
    (tmp_path / "arrays.npz").write_bytes((folder / "arrays.npz").read_bytes())
    monkeypatch.setattr(artifact, "_sha256",
                        lambda *_: re.search(r'"sha256": "(\w+)"', text)[1])
    with pytest.raises(ArtifactError, match=message):
        artifact.load(tmp_path)
    assert "this" not in sys.modules        # a data file does not choose what is imported
