"""Fine-tuning: deterministic, resumable, and taken up by the export."""

import sys

import numpy as np
import pytest
import torch

from golden import checkpoint
from golden.base import cli
from quant import export, finetune, prepare, tuned
from quant.formats import QuantConfig
from quant.integer import artifact
from quant.tune.convert import to_artifact
from quant.tune.fit import ExportError
from tests.quant.test_export import COUNT, RELEASED, TOY, made


def start(path, sampling=None, margin=1.5):
    found = tuned.in_form(checkpoint.load(path, task=TOY), sampling)
    prepared = prepare.prepare(found, found.task.load("train"), COUNT)
    return found, prepared.model(QuantConfig(margin=margin))


def integers(net):
    art = to_artifact(net, TOY, 20, 1, {})
    return np.concatenate([np.ravel(t.raw) for _, op, _ in art.operations()
                           for t in op.tensors.values()])


def test_learns_and_is_deterministic(tmp_path):
    before = integers(start(made(tmp_path / "net.pt"))[1])
    results = []
    for name in ("one.pt", "two.pt"):
        found, net = start(tmp_path / "net.pt")
        results.append(integers(finetune.finetune(found, net, tmp_path / name, steps=3, batch=4)))
    np.testing.assert_array_equal(*results)
    assert np.mean(results[0] != before) > 0.1


def test_resume_equals_an_uninterrupted_run(tmp_path, monkeypatch):
    path = made(tmp_path / "net.pt")
    found, net = start(path)
    whole = integers(finetune.finetune(found, net, tmp_path / "whole.pt", steps=6, batch=4))

    saved, save = [], tuned.save

    def stop_after_saving(*args):
        save(*args)
        saved.append(args)
        raise KeyboardInterrupt

    found, net = start(path)
    monkeypatch.setattr(tuned, "save", stop_after_saving)
    with pytest.raises(KeyboardInterrupt):
        finetune.finetune(found, net, tmp_path / "part.pt", steps=6, batch=4, save_every=4)
    monkeypatch.setattr(tuned, "save", save)
    content = tuned.read(tmp_path / "part.pt", found)
    assert content["steps"] == 4 and "optimiser" in content
    net = tuned.build(content, found)
    resumed = finetune.finetune(found, net, tmp_path / "part.pt", steps=6, batch=4, resume=content)
    np.testing.assert_array_equal(integers(resumed), whole)
    np.testing.assert_array_equal(integers(tuned.load(tmp_path / "part.pt", found)), whole)
    assert "optimiser" not in tuned.read(tmp_path / "part.pt", found)


def test_export_takes_the_fine_tuned_weights(tmp_path):
    found, net = start(made(tmp_path / "net.pt"))
    after = finetune.finetune(found, net, tmp_path / "tuned.pt", steps=3, batch=4)
    art = export.export(checkpoint.load(tmp_path / "net.pt", task=TOY), tmp_path / "a", n=4,
                        n_vectors=0, qat=tmp_path / "tuned.pt", count=COUNT)
    np.testing.assert_array_equal(art.spiking.layers[1].w,
                                  to_artifact(after, TOY, 20, 1, {}).spiking.layers[1].w)
    assert artifact.load(tmp_path / "a").info["checkpoint"]["fine_tuned"]


def test_the_sampling_form_is_kept_and_can_be_changed(tmp_path):
    found, net = start(made(tmp_path / "net.pt"), "systematic", margin=3)
    assert net.sampling == "systematic"
    finetune.finetune(found, net, tmp_path / "tuned.pt", steps=1, batch=4)
    for asked, form in ((None, "systematic"), ("sobol", "sobol")):
        art = export.export(checkpoint.load(tmp_path / "net.pt", task=TOY), tmp_path / form, n=0,
                            n_vectors=0, qat=tmp_path / "tuned.pt", count=COUNT, sampling=asked)
        assert art.spiking.sampling == form


def test_imported_networks(tmp_path, monkeypatch, capsys):
    """From the file with DPLR layers to fine-tuned integers: both commands make them diagonal."""
    made(tmp_path / "net.pt", **RELEASED | {"d_state": 8})
    monkeypatch.setattr(sys, "argv", [
        "quant.finetune", "--task", TOY, "--checkpoint", str(tmp_path / "net.pt"), "--steps", "2",
        "--batch", "4", "--threads", "1", "--out", str(tmp_path / "tuned.pt")])
    before = torch.get_num_threads()
    try:
        cli.run("quant.finetune", finetune.main)
    finally:
        torch.set_num_threads(before)
    assert "8 of 8 neurons fitted" in capsys.readouterr().out
    arts = [export.export(checkpoint.load(tmp_path / "net.pt", task=TOY), tmp_path / name, n=0,
                          n_vectors=0, qat=qat, count=COUNT) for name, qat in (
                              ("plain", None), ("tuned", tmp_path / "tuned.pt"))]
    assert arts[1].info["checkpoint"]["fine_tuned"] and arts[1].info["diagonal"]
    assert (arts[0].spiking.layers[0].w != arts[1].spiking.layers[0].w).any()


def test_files_that_do_not_fit(tmp_path):
    found, net = start(made(tmp_path / "net.pt"))
    tuned.save(tmp_path / "tuned.pt", found, net, 1, None)
    other = checkpoint.load(made(tmp_path / "other.pt", seed=1), task=TOY)
    with pytest.raises(ExportError, match="fine-tuned from another checkpoint"):
        tuned.load(tmp_path / "tuned.pt", other)
    (tmp_path / "cut.pt").write_bytes((tmp_path / "tuned.pt").read_bytes()[:900])
    with pytest.raises(ExportError, match="is damaged or was not made by quant.finetune"):
        tuned.load(tmp_path / "cut.pt", found)
    with pytest.raises(ExportError, match="it lacks golden, formats, steps"):
        tuned.load(tmp_path / "net.pt", found)
    content = torch.load(tmp_path / "tuned.pt", weights_only=True)
    old = dict.fromkeys(("layers", "edge", "random", "rounding"), [])     # formats before schema 2
    checkpoint.write(tmp_path / "old.pt", content | {"formats": old})
    with pytest.raises(ExportError, match="old.pt was made by an earlier version; make it again "
                                          "with python -m quant.finetune") as error:
        tuned.load(tmp_path / "old.pt", found)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change, text", [
    ({"residual": "plain"}, "encoder has 2 operations, the other network has 3"),
    ({"act": "identity"}, "layer 0 has 9 operations, the other network has 10"),
    ({"n_blocks": 3}, "3 layers, the other network has 2")], ids=str)
def test_a_file_of_other_operations(change, text, tmp_path):
    """One that says it belongs to the network, with the formats of another."""
    found, net = start(made(tmp_path / "net.pt"))
    tuned.save(tmp_path / "tuned.pt", found, net, 1)
    other = checkpoint.load(made(tmp_path / "other.pt", **change), task=TOY)
    content = torch.load(tmp_path / "tuned.pt", weights_only=True)
    checkpoint.write(tmp_path / "tuned.pt", content | {"golden": tuned.state_digest(other.network)})
    with pytest.raises(ExportError, match=f"the fine-tuned file has other operations: {text}"):
        tuned.load(tmp_path / "tuned.pt", other)


def test_command_line(tmp_path, monkeypatch, capsys):
    made(tmp_path / "net.pt")
    out = tmp_path / "tuned.pt"

    def command(*extra):
        monkeypatch.setattr(sys, "argv", [
            "quant.finetune", "--task", TOY, "--checkpoint", str(tmp_path / "net.pt"), "--steps",
            "2", "--batch", "4", "--threads", "1", "--out", str(out), *extra])
        cli.run("quant.finetune", finetune.main)

    before = torch.get_num_threads()
    try:
        command("--weight-bits", "6")
        assert "after 2 steps" in capsys.readouterr().out
        assert tuned.load(out, checkpoint.load(tmp_path / "net.pt", task=TOY)
                          ).program.blocks[0][4].w.fmt.width == 6
        with pytest.raises(SystemExit) as stop:
            command("--resume")
    finally:
        torch.set_num_threads(before)
    assert stop.value.code == 2 and "is finished after 2 steps" in capsys.readouterr().err


def test_shipped():
    """Every fine-tuning that is shipped belongs to its network and gives integers."""
    files = sorted(checkpoint.SHIPPED.glob("*.qat.pt"))
    assert files
    for path in files:
        found = checkpoint.load(path.with_name(path.name.removesuffix(".qat.pt") + ".pt"))
        art = to_artifact(tuned.load(path, found), found.task.name, found.task.length, 1, {})
        assert (art.H, len(art.blocks)) == (found.network.cfg.d_model, found.network.cfg.n_blocks)
        assert art.spiking.layers[0].fmt.w.width < 8
