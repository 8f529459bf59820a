"""Released files with anything in them: imported, or refused in one line before it costs much."""

import re
import resource
import time

import numpy as np
import pytest
import torch

from golden.import_release import residual_of
from golden.released import state
from golden.released.build import network
from golden.released.check import read_fixture
from golden.released.state import read, sizes
from golden.tasks import make_task
from tests.golden import release_files
from tests.golden.files_of_torch import flips, refusal
from tests.golden.test_import_release import changed, whole

KERNEL = "layers__0__layer__layer__kernel__"
C, A, LENGTH = f"{KERNEL}C", f"{KERNEL}A_real", f"{KERNEL}l_kernel"


def imported(path) -> str:
    """The line with which a file is refused, or ""."""
    return refusal(lambda: network(read(path), "none", make_task("psmnist")))


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


WRONG = {
    "layers.2 is missing, but there is layers.999999999": changed(
        layers__999999999__inp_a=np.ones(6)),
    "unknown layers.9999999999999999": changed(**{"layers__" + "9" * 200 + "__inp_a": np.ones(6)}),
    "layers.0.inp_a contains values that are not finite": changed(layers__0__inp_a=np.full(
        6, np.inf)),
    "layers.1.out_b has numbers from 1e+30": changed(layers__1__out_b=np.full(6, 1e30)),
    "layers.0.inp_b is of type int64, it must be real numbers": changed(
        layers__0__inp_b=np.arange(6)),
    "layers.0.inp_b is of type bool": changed(layers__0__inp_b=np.ones(6, bool)),
    "layers.0.inp_b' has elements of type complex128": changed(
        layers__0__inp_b=np.ones(6, complex)),
    "l_kernel is of type float32, it must be whole": changed(**{LENGTH: np.array(8.0)}),
    "l_kernel is -8; kernels of 0 to": changed(**{LENGTH: np.array(-8)}),
    "l_kernel is 1000000000; kernels of 0 to": changed(**{LENGTH: np.array(10**9)}),
    "l_kernel has shape (1,)": changed(**{LENGTH: np.array([8])}),
    "running_var is negative, down to -1": changed(layers__0__norm__norm__running_var=-np.ones(6)),
    "its recurrence is not finite": changed(**{A: np.full((1, 2), 1e8)}),
    "d_state must be a whole number of at least 1": changed(
        **{f"{KERNEL}{name}": np.ones(shape) for name, shape in (
            ("C", (1, 6, 0, 2)), ("B", (1, 1, 0, 2)), ("P", (1, 1, 0, 2)), ("A_real", (1, 0)),
            ("A_imag", (1, 0)))}),
}


@pytest.mark.parametrize("says", WRONG)
def test_numbers_types_and_names(says, tmp_path):
    arrays = dict(WRONG[says])
    if "d_state" in says:       # of both layers
        arrays |= {name.replace("layers.0.", "layers.1."): value for name, value in arrays.items()
                   if "layers.0.layer.layer.kernel" in name}
    path = npz(tmp_path / "x.npz", **arrays)
    began = time.process_time()
    line = imported(path)
    assert says in line and line.startswith(str(path)) and time.process_time() - began < 10


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("change, says", [
    (lambda t: t.to_sparse(), "is a sparse tensor: write x.to_dense(), not a tensor"),
    (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "is a quantised tensor"),
    (lambda t: t.to("meta"), "is a tensor without numbers"),
    (lambda t: t.to(torch.complex64), "is of type complex64"), (lambda t: t > 0, "is of type bool"),
    (lambda t: t.tolist(), "is a list, not a tensor"), (lambda t: None, "is None, not a tensor"),
    (lambda t: np.float64(1), "is numpy.float64: write float(x)"),
    (lambda t: t * torch.inf, "not finite"), (lambda t: t.double() * 1e300, "at most 1e+09")],
    ids=["sparse", "quantised", "meta", "complex", "bool", "list", "none", "numpy", "inf", "big"])
def test_tensors_of_another_kind(change, says, tmp_path):
    tensors = whole()
    name = "model.layers.0.inp_b"
    torch.save(tensors | {name: change(tensors[name])}, tmp_path / "x.pt")
    line = imported(tmp_path / "x.pt")
    assert says in line and name in line


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_taken_as_float32(dtype, tmp_path):
    tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in whole().items()}
    torch.save({"state_dict": tensors, "optimizer": {"lr": np.float64(1)}}, tmp_path / "x.pt")
    net = network(read(tmp_path / "x.pt"), "plain", make_task("digits"))
    wanted = tensors["model.layers.1.out_b"].float()
    assert torch.equal(net.blocks[1].out.b, wanted) and net.blocks[1].out.b.dtype == torch.float32


def test_a_name_with_and_without_what_stands_in_front(tmp_path):
    tensors = whole()
    name = "norm.norm.weight"
    torch.save(tensors | {name: tensors[f"model.{name}"]}, tmp_path / "x.pt")
    assert f"{name} is there twice" in imported(tmp_path / "x.pt")


def test_gigabytes_in_a_small_file(tmp_path, monkeypatch):
    """Zeros that deflate to a thousandth, in a checkpoint and in a fixture."""
    monkeypatch.setattr(state, "ARRAYS", 1 << 20)
    zeros = {"state.layers.0.inp_a": np.zeros(1 << 22), "x": np.zeros(1 << 22)}
    np.savez_compressed(tmp_path / "x.npz", **zeros)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "at most" in imported(tmp_path / "x.npz")
    np.savez(tmp_path / "own.npz", **release_files.fixture(release_files.state(), False))
    monkeypatch.setattr(state, "ARRAYS", 1 << 30)
    found = read(tmp_path / "own.npz")
    monkeypatch.setattr(state, "ARRAYS", 1 << 20)
    for call in (lambda: residual_of(found, None, tmp_path / "x.npz"),
                 lambda: read_fixture(tmp_path / "x.npz", sizes(found))):
        assert re.search("x.npz has 2 arrays of 67,.* at most", refusal(call))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000    # kB


def test_a_flipped_bit_is_refused_or_harmless(tmp_path):
    """The zip's own checksums, which torch.load does not compare, guard torch files too."""
    torch.save(whole(), tmp_path / "x.pt")
    good, taken = read(tmp_path / "x.pt"), 0
    for content in flips(tmp_path / "x.pt", 1, seed=3):
        (tmp_path / "bad.pt").write_bytes(content)
        found = []
        if not refusal(lambda: found.append(read(tmp_path / "bad.pt"))):
            taken += 1
            for part in ("stack", "encoder", "decoder"):
                one, other = getattr(good, part), getattr(found[0], part)
                assert one.keys() == other.keys()
                assert all(np.array_equal(one[name], other[name]) for name in one)
    assert taken > 20
