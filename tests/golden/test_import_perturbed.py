"""Importing with ``--perturb``: other networks by the seed, compared before they are changed."""

import numpy as np
import torch

from golden import checkpoint
from tests.golden import release_files
from tests.golden.test_import_release import run


def test_perturbed_as_the_seed_says_and_behind_the_check(monkeypatch, capsys, tmp_path):
    path = tmp_path / "release.npz"
    np.savez(path, **release_files.fixture(release_files.state(n=4, perturb=0.0), False))
    options = {"same": ("--perturb", 0.3, "--seed", 1), "again": ("--perturb", 0.3, "--seed", 1),
               "other": ("--perturb", 0.3, "--seed", 2), "plain": ()}
    nets = {}
    for name, given in options.items():
        code, text, _ = run(monkeypatch, capsys, path, "--check", path, "--out",
                            tmp_path / f"{name}.pt", *given)
        assert code == 0 and "equal" in text and ("do not diagonalise" in text) == (name == "plain")
        nets[name] = checkpoint.load(tmp_path / f"{name}.pt")
    assert nets["same"].info["perturbed"] == {"spread": 0.3, "seed": 1}
    states = {name: found.network.state_dict() for name, found in nets.items()}
    for name in ("log_A_re", "A_im", "P", "B"):
        same, again, other, plain = (states[k][f"blocks.0.ssm.{name}"] for k in options)
        assert torch.equal(same, again) and not torch.equal(same, other)
        assert not torch.equal(same, plain)
    assert torch.equal(states["same"]["blocks.0.ssm.C"], states["plain"]["blocks.0.ssm.C"])
