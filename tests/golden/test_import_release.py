"""Importing checkpoints of the released code: every form, and every way a file can be wrong."""

import sys

import numpy as np
import pytest
import torch

from golden import checkpoint, import_release
from golden.released import reference as released_reference
from golden.base import cli
from golden.released.build import network
from golden.released.check import Fixture, compare
from golden.released.state import Release
from golden.tasks import make_task
from tests.golden import release_files

FORMS = {
    "psmnist": (dict(sides=2), False),
    "causal residual": (dict(sides=1), True),
    "one block": (dict(blocks=1, H=1, n=1, length=0), False),
    "three blocks, more heads": (dict(blocks=3, H=6, rows=3, sides=2), True),
    "per neuron, longer kernel": (dict(rows=6, length=50), True),
    "shorter kernel": (dict(length=8, sides=2), True),
    "post-norm": (dict(pre=False), True),
    "post-norm without residual": (dict(pre=False, sides=2), False),
    "layer norm, post, branch": (dict(pre=False, batch=False, branch=True, sides=2), True),
    "branch": (dict(branch=True, sides=2, rows=6), True),
    "layer norm": (dict(batch=False), False),
}


def run(monkeypatch, capsys, *args) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of the command."""
    monkeypatch.setattr(sys, "argv", ["golden.import_release", *map(str, args)])
    try:
        cli.run("golden.import_release", import_release.main)
        code = 0
    except SystemExit as stopped:
        code = stopped.code
    return code, *capsys.readouterr()


@pytest.fixture
def command(monkeypatch, capsys):
    return lambda *args: run(monkeypatch, capsys, *args)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_equal_and_loads_again(form, command, tmp_path):
    options, residual = FORMS[form]
    state = release_files.state(**options)
    path, out = tmp_path / "release.npz", tmp_path / "own.pt"
    np.savez(path, **release_files.fixture(state, residual))
    code, text, error = command(path, "--check", path, "--out", out)
    assert (code, error) == (0, ""), text + error
    table = [line.split() for line in text.splitlines() if line.lstrip()[:1].isdigit()
             and "blocks of" not in line]
    assert len(table) == options.get("blocks", 2)
    for k, (number, difference, differing, spikes, *_) in enumerate(table):
        assert int(number) == k and float(difference) < 1e-6 and int(differing) == 0
        assert int(spikes) > 0
    assert f"residual {'plain' if residual else 'none'}" in text      # seen from the fixture
    loaded = checkpoint.load(out)
    cfg = loaded.network.cfg
    assert cfg.norm_position == ("pre" if options.get("pre", True) else "post")
    assert cfg.norm == ("batch" if options.get("batch", True) else "layer")
    assert cfg.kernel == ("causal", "two_sided")[options.get("sides", 1) - 1]
    assert cfg.shared_A == (options.get("rows", 1) == 1) and cfg.d_state == 2 * options.get("n", 2)
    assert loaded.info["start_values"] == ["encoder", "decoder"]
    values, _ = loaded.network.trace(*draws(path))
    fixture = np.load(path)
    np.testing.assert_allclose(values[0]["out"], fixture["block0"], rtol=0, atol=1e-4)


def draws(path) -> tuple[torch.Tensor, list[torch.Tensor]]:
    arrays = np.load(path)
    blocks = len([name for name in arrays if name.startswith("block")])
    return (torch.from_numpy(arrays["x"]),
            [torch.from_numpy(arrays[f"u{i}"]) for i in range(2 * blocks)])


def test_residual_option_that_is_wrong_is_seen(command, tmp_path):
    path = tmp_path / "release.npz"
    np.savez(path, **release_files.fixture(release_files.state(), True))
    assert command(path, "--check", path, "--residual", "plain")[0] == 0
    out = tmp_path / "o.pt"
    code, text, _ = command(path, "--check", path, "--residual", "none", "--out", out)
    assert code == 1 and "NOT equal" in text and not out.exists()


@pytest.mark.parametrize("what", ["block", "u", "y", "state"])
def test_one_difference_is_seen(what, command, tmp_path):
    arrays = release_files.fixture(release_files.state(sides=2), False)
    path, own = tmp_path / "changed.npz", tmp_path / "release.npz"
    np.savez(own, **arrays)
    if what == "block":
        arrays["block1"][1, 5, 2] += 3e-4
    elif what == "y":
        arrays["y"][0, 0, 0] += 2e-4
    elif what == "u":                                   # one output spike of block 0 turns
        arrays["u1"][0, 3, 1] = 1 - 1e-6 if arrays["u1"][0, 3, 1] < 0.3 else 0
    else:
        arrays["state.layers.1.layer.layer.D"][0, 3] += 0.5
        np.savez(own, **arrays)                         # a checkpoint that made other outputs
    np.savez(path, **arrays)
    code, text, error = command(own, "--check", path, "--residual", "none")
    assert code == 1 and error == "" and "NOT equal" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines()}
    counted = [int(rows[k][2]) for k in ("0", "1")]
    if what == "block":
        assert counted == [0, 1] and "unlike any spikes 1" in text
    if what == "y":
        assert counted == [0, 0] and float(rows["stack"][1]) > 1e-4
    if what == "u":
        assert counted[0] >= 1
    if what == "state":
        assert counted[0] == 0 and counted[1] >= 1


def test_differing_spikes_are_counted_one_by_one():
    """One neuron's output probability moved: exactly the spikes that turn are counted."""
    state = release_files.state(blocks=1, sides=2)
    arrays = release_files.fixture(state, False)
    found = Release(None, state)
    net = network(found, "none", make_task("psmnist"))
    fixture = Fixture(arrays["x"], [arrays["u0"], arrays["u1"]], [arrays["block0"]], arrays["y"])
    assert compare(net, state, fixture).passed()
    q = released_reference.block(state, 0, arrays["x"], arrays["u0"], arrays["u1"], False)["q_out"]
    with torch.no_grad():
        net.blocks[0].out.b[2] += 0.2
    turned = int(((q[..., 2] + 0.2 > arrays["u1"][..., 2]) != (q[..., 2] > arrays["u1"][..., 2]))
                 .sum())
    row = compare(net, state, fixture).rows[0]
    assert turned > 0 and row.differing == {"s_in": 0, "s_out": turned} and row.unexplained == 0


def whole(prefix: str = "model.") -> dict[str, torch.Tensor]:
    """A digits classifier as a training framework saves it, encoder and decoder included."""
    state = {prefix + name: torch.from_numpy(value)
             for name, value in release_files.state().items()}
    gen = torch.Generator().manual_seed(0)
    return state | {"encoder.0.weight": torch.rand(6, 1, generator=gen),
                    "encoder.0.bias": torch.rand(6, generator=gen),
                    "decoder.0.output_transform.weight": torch.rand(10, 6, generator=gen),
                    "decoder.0.output_transform.bias": torch.rand(10, generator=gen)}


@pytest.mark.parametrize("nest", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3},
                                  lambda s: {"epoch": 1, "a": {"b": {"c": s}}}])
def test_torch_files_with_encoder_and_decoder(nest, command, tmp_path):
    state = whole()
    path, out = tmp_path / "last.ckpt", tmp_path / "own.pt"
    torch.save(nest(state), path)
    code, text, error = command(path, "--residual", "plain", "--task", "digits", "--out", out)
    assert (code, error) == (0, "") and "not in the file" not in text
    net, task = checkpoint.load(out).network, make_task("digits")
    assert task.n_classes == 10
    v = torch.rand(3, 64)
    pixels = 255 / 256 * state["encoder.0.weight"] @ torch.ones(1)      # at v = 255 / 256: v = 1
    torch.testing.assert_close(
        net.encoder(torch.tensor([255 / 256]), torch.float32)[:, 0],
        pixels * 256 / 255 + state["encoder.0.bias"])
    torch.testing.assert_close(net.decoder.weight.data, state["decoder.0.output_transform.weight"])
    assert net(v).shape == (3, 10)


class Pairs:
    """Two sequences of listops' tokens for an example."""

    name, n_classes, length, vocab, sample_format, inputs = "pairs", 10, 2000, 16, None, 2

    def load(self, split, data_dir=None):
        pytest.fail("an import reads no data")


def test_two_sequences_and_tokens(command, tmp_path):
    state = {name: torch.from_numpy(value)
             for name, value in release_files.state(branch=True).items()}
    gen = torch.Generator().manual_seed(0)
    for name, *shape in (("encoder.0.weight", 16, 6), ("decoder.0.retrieval.classifier.0.weight",
                         6, 24), ("decoder.0.retrieval.classifier.0.bias", 6),
                         ("decoder.0.retrieval.classifier.2.weight", 10, 6),
                         ("decoder.0.retrieval.classifier.2.bias", 10)):
        state[name] = torch.rand(*shape, generator=gen)
    path, out = tmp_path / "pair.pt", tmp_path / "own.pt"
    torch.save(state, path)
    code, _, error = command(path, "--residual", "plain", "--task", "listops", "--out", out)
    assert code == 2 and not out.exists()
    assert "takes two sequences (pair) for an example, task listops has one" in error
    task = "tests.golden.test_import_release:Pairs"
    assert command(path, "--residual", "plain", "--task", task, "--out", out)[0] == 0
    net = checkpoint.load(out, task=task).network
    assert net.cfg.pair and net.cfg.vocab == 16
    torch.testing.assert_close(net.decoder.last.bias.data,
                               state["decoder.0.retrieval.classifier.2.bias"])
    assert net(torch.randint(16, (4, 20))).shape == (2, 10)


def changed(**changes) -> dict:
    """A good state dict with some tensors replaced, or removed where the value is None."""
    state = release_files.state() | {name.replace("__", "."): v for name, v in changes.items()}
    return {f"state.{name}": value for name, value in state.items() if value is not None}


KERNEL = "layers__0__layer__layer__kernel__"
WRONG = {
    "missing layers.1.out_a": changed(layers__1__out_a=None),
    "missing layers.0.inp_a": changed(layers__0__inp_a=None),
    "unknown norm.norm.bias": changed(norm__norm__weight=None),
    "missing layers.0.layer.layer.kernel.C": changed(**{KERNEL + "C": None}),
    "unknown layers.0.residual.affine": changed(layers__0__residual__affine=np.ones(6)),
    "layers.1.inp_a has shape (5,), the other tensors say (6,)": changed(
        layers__1__inp_a=np.ones(5)),
    "layers.0.layer.layer.kernel.C has shape (6, 2), but 4 dimensions": changed(
        **{KERNEL + "C": np.ones((6, 2))}),
    "has 3 channels": changed(**{KERNEL + "C": np.ones((3, 6, 2, 2))}),
    "rank 2": changed(**{KERNEL + "P": np.ones((2, 1, 2, 2))}),
    "4 rows, which do not divide 6": changed(**{KERNEL + "A_real": np.ones((4, 2))}),
    "layers.1.out_b contains values that are not finite": changed(
        layers__1__out_b=np.full(6, np.nan)),
    "it has no key such as layers.0.inp_a": {"state.weight": np.ones(3)},
    "6 of 6 neurons cannot be unfolded": changed(**{
        KERNEL + "inv_dt": np.full((6, 1), -40.0)}),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_state_is_one_line(message, command, tmp_path):
    path = tmp_path / "wrong.npz"
    np.savez(path, **WRONG[message])
    code, text, error = command(path, "--residual", "none", "--out", tmp_path / "o.pt")
    assert code == 2 and error.count("\n") == 1 and message in error and str(path) in error
    assert not (tmp_path / "o.pt").exists()


@pytest.mark.parametrize("content, message", [
    (b"", "is neither a torch file nor an npz file"),
    (b"not a checkpoint\n" * 20, "is neither a torch file"),
    (b"PK\x03\x04 broken", "is neither a torch file"), (None, "is not a file")])
def test_no_checkpoint_is_one_line(content, message, command, tmp_path):
    path = tmp_path / "file.pt"
    if content is not None:
        path.write_bytes(content)
    code, _, error = command(path, "--residual", "none")
    assert code == 2 and error.count("\n") == 1 and message in error


class Custom:
    """A Python object in a checkpoint."""


@pytest.mark.parametrize("content, message", [
    ([1, 2], "holds a list"), ({"a": 1}, "no key such as layers.0.inp_a"),
    (Custom(), "holds Python objects"), ({"layers.0.inp_a": 3}, "is a int, not a tensor")])
def test_other_torch_files_are_one_line(content, message, command, tmp_path):
    torch.save(content, tmp_path / "file.pt")
    code, _, error = command(tmp_path / "file.pt", "--residual", "none")
    assert code == 2 and error.count("\n") == 1 and message in error


@pytest.mark.parametrize("options, message", [
    ([], "give --residual none"), (["--norm-position", "post"], "norm_position is pre, not post"),
    (["--residual", "none", "--task", "listops"], "the encoder has encoder.0.weight (6, 1)"),
    (["--residual", "none", "--task", "nothing"], "task 'nothing' is unknown"),
    (["--check", "nowhere.npz"], "nowhere.npz does not exist")])
def test_options_that_do_not_fit(options, message, command, tmp_path):
    torch.save(whole(), tmp_path / "file.pt")
    code, _, error = command(tmp_path / "file.pt", *options)
    assert code == 2 and error.count("\n") == 1 and message in error


@pytest.mark.parametrize("change, message", [
    (dict(u3=None), "missing u3"), (dict(u4=np.zeros((2, 20, 6))), "unknown u4"),
    (dict(x=np.zeros((2, 20, 5))), "all must have the same shape"),
    (dict(block1=np.full((2, 20, 6), np.inf)), "block1 contains values that are not finite")])
def test_a_fixture_that_does_not_fit(change, message, command, tmp_path):
    arrays = release_files.fixture(release_files.state(), False)
    np.savez(tmp_path / "release.npz", **arrays)
    np.savez(tmp_path / "fixture.npz", **{k: v for k, v in (arrays | change).items()
                                          if v is not None})
    code, _, error = command(tmp_path / "release.npz", "--check", tmp_path / "fixture.npz")
    assert code == 2 and error.count("\n") == 1 and message in error


def test_layers_that_do_not_diagonalise_are_said(command, tmp_path):
    """Unperturbed HiPPO-LegS at d_state 8 has eigenvectors of condition 8e4."""
    path = tmp_path / "release.npz"
    np.savez(path, **release_files.fixture(release_files.state(n=4, perturb=0.0), False))
    code, text, _ = command(path, "--check", path)
    assert code == 0 and text.count("6 of 6 neurons do not diagonalise") == 2
    np.savez(path, **release_files.fixture(release_files.state(n=4), False))
    assert "do not diagonalise" not in command(path, "--residual", "none")[1]
