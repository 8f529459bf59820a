"""Two steps per update of the states, one format for all layers, from the export's options on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden import checkpoint
from golden.base.cli import UserError
from quant import current, export, finetune, origin, prepare, tuned
from quant.formats import QUANT_CONFIGS, QuantConfig
from quant.integer import artifact, reference, vectors
from quant.integer.adapt import adapt
from quant.integer.operation import ArtifactError
from quant.integer.synthetic import random_artifact
from quant.tune.convert import to_program, without_formats
from quant.tune.fit import Extremes, fit, formats_of, one_format
from tests.quant.test_export import COUNT, TOKENS, TOY, command, made, one_thread, refused

__all__ = ["one_thread"]        # a fixture


def exported(tmp_path, config, name="artifact", **options):
    found = checkpoint.load(made(tmp_path / "net.pt", **options), task=options.get("task", TOY))
    export.export(found, tmp_path / name, config, n=12, n_vectors=2, count=COUNT)
    return artifact.load(tmp_path / name)


@pytest.mark.parametrize("options", [
    {}, {"task": TOKENS, "residual": "plain", "sampling": "sobol"}, {"family": "stream"},
    {"family": "lif"}], ids=str)
def test_end_to_end(tmp_path, options):
    """Loads again; its vectors, of odd lengths too, are the reference's answers."""
    art = exported(tmp_path, QuantConfig(block=2), **options)
    assert art.block == 2
    stored = vectors.load(tmp_path / "artifact" / "vectors.npz", art)
    for values, L, trace in zip(stored.values, stored.lengths, stored.traces):
        want = reference.run(art, values[:L])
        np.testing.assert_equal(vars(trace), vars(want))
        assert trace.signature.shape[1] == -(-L // 2)
    assert any(L % 2 for L in stored.lengths)
    one = exported(tmp_path, QuantConfig(), "one", **options)
    assert one.block == 1
    with pytest.raises(ArtifactError, match="block is 2, but 1 in the other network"):
        adapt(art, one)
    again, saturated = adapt(art, art)
    assert artifact.digest(again) == artifact.digest(art) and not saturated


def test_the_named_widths(tmp_path):
    art = exported(tmp_path, QUANT_CONFIGS["fast"])
    f = art.spiking.layers[0].fmt
    assert (f.a_bar.width, f.g.width, f.h.width, f.w.width, f.shift.width, f.p.f_bits) == (
        14, 12, 16, 7, 5, 8)


@pytest.mark.parametrize("options", [{}, {"family": "stream"}, {"family": "lif"},
                                     {"residual": "plain", "task": TOKENS}], ids=str)
@pytest.mark.parametrize("block", [1, 2])
def test_one_format_for_all_layers(tmp_path, options, block):
    """Every format of a layer holds all layers' numbers; else layers differ."""
    apart = exported(tmp_path, QuantConfig(block=block), "apart", **options)
    art = exported(tmp_path, QuantConfig(block=block, one_format=True), **options)
    assert one_format(art) and not one_format(apart)
    for own, other in zip(art.blocks[1], apart.blocks[1]):
        formats, others = formats_of(own), formats_of(other)
        assert formats.keys() == others.keys()
        for name, fmt in formats.items():
            assert getattr(fmt, "i_bits", 0) >= getattr(others[name], "i_bits", 0), (own, name)
    assert reference.execute(art, np.arange(9) % 7 + 1).logits.any()


def test_layers_of_other_operations_have_no_one_format():
    art = random_artifact(0, n_layers=2)
    other = without_formats(to_program(replace(art, blocks=(art.blocks[0], art.blocks[1][:-1]))))
    assert not one_format(other)
    with pytest.raises(UserError, match="layer 1 has other operations than layer 0, .*one-format"):
        fit(other, Extremes({}, {}), QuantConfig(one_format=True), art.sample)


def test_fine_tuned_weights(tmp_path, monkeypatch, capsys):
    """A file has its own steps per update; the export may ask for others."""
    path = made(tmp_path / "net.pt")
    found = checkpoint.load(path, task=TOY)
    train = found.task.load("train")
    arts = {}
    for block in (1, 2):
        torch.manual_seed(0)
        prepared = prepare.prepare(found, train, COUNT)
        net = prepared.model(QuantConfig(block=block))
        finetune.finetune(prepared.found, net, tmp_path / f"{block}.pt", steps=2, batch=4)
        assert tuned.load(tmp_path / f"{block}.pt", found).program.block == block
        for asked in (None, 1, 2):
            out = tmp_path / f"{block}-{asked}"
            export.export(found, out, n=0, n_vectors=0, count=COUNT, block=asked,
                          qat=tmp_path / f"{block}.pt")
            arts[block, asked] = artifact.load(out)
            assert arts[block, asked].block == (asked or block)
    assert len({artifact.digest(arts[key]) for key in ((1, None), (1, 1))}) == 1
    assert len({artifact.digest(arts[key]) for key in ((2, None), (2, 2))}) == 1
    op = next(op for op in arts[1, 2].blocks[0] if op.states and op.tensors.get("a2_re"))
    A = op.a_re.real + 1j * op.a_im.real
    assert abs(A * A - op.a2_re.real - 1j * op.a2_im.real).max() < 2.0 ** -op.a_re.fmt.f_bits
    capsys.readouterr()
    line = refused(monkeypatch, capsys, "--checkpoint", path, "--task", TOY, "--qat",
                   tmp_path / "1.pt", "--one-format", "-n", 0, "--vectors", 0, "--out",
                   tmp_path / "x")
    assert "has other formats in other layers; fine-tune it with --one-format" in line


def test_a_two_sided_network_is_refused(tmp_path, monkeypatch, capsys):
    path = made(tmp_path / "net.pt", kernel="two_sided")
    line = refused(monkeypatch, capsys, "--checkpoint", path, "--task", TOY, "-n", 0, "--block", 2,
                   "--out", tmp_path / "x")
    assert "goes backwards in time has one step per update; leave --block 2 out" in line
    assert not (tmp_path / "x").exists()


def test_options_are_kept_where_asked(tmp_path, monkeypatch, capsys):
    """``--keep``, as make has it: those of the artifact that is there, new ones win."""
    path, out = made(tmp_path / "net.pt"), tmp_path / "artifact"

    def options(*given):
        command(monkeypatch, "--task", TOY, "--out", out, "-n", 0, "--vectors", 0, *given)
        return origin.read(out)["options"], artifact.load(out).block

    first = {"config": "fast", "block": 2, "one_format": True}
    assert options("--checkpoint", path, "--config", "fast", "--block", 2,
                   "--one-format") == (first, 2)
    assert current.kept(out) == ["--config", "fast", "--block", "2", "--one-format",
                                 "--checkpoint", str(path)]
    assert options("--keep") == (first, 2)
    assert options("--keep", "--block", 1, "--state-bits", 14) == (
        first | {"block": 1, "state_bits": 14}, 1)
    (out / "manifest.json").write_text((out / "manifest.json").read_text().replace("fast", "slow"))
    assert options("--keep", "--checkpoint", path) == ({}, 1)
    assert "its options are not kept" in capsys.readouterr().err
    assert "--keep goes on with what is there for a task; give --task" in refused(
        monkeypatch, capsys, "--keep", "--checkpoint", path)


@pytest.mark.parametrize("block", [0, 3])
def test_no_other_number_of_steps(block):
    with pytest.raises(UserError, match=r"block must be in 1\.\.2, not"):
        QuantConfig(block=block)
