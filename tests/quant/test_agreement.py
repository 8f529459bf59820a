"""Float and integer form under equal draws: the measures, and that imported networks agree."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from golden import checkpoint, tasks
from golden.checkpoint import Checkpoint
from golden.model.config import StreamConfig
from golden.model.network import Network
from quant import agreement
from quant.tune.fit import ExportError
from golden.base.qformat import FormatError
from quant.formats import QUANT_CONFIGS, QuantConfig
from quant.integer.ops import Scale
from tests.quant.test_diagonalise import network
from tests.quant.toy import op_at, place_of, with_op
from tests.quant.test_export import COUNT, RELEASED, TOY, made


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def measured(net, task, config=QuantConfig(), n=6):
    return agreement.agreement(Checkpoint(net.eval(), tasks.make_task(task), {}), config, n=n,
                               count=COUNT)


def imported(spread: float):
    """A causal network of family released for digits, perturbed or as initialised."""
    net = network(spread, H=16)
    with torch.no_grad():
        net.encoder.bias.uniform_(-0.5, 0.5)
    return net


@pytest.fixture(scope="module")
def own():
    """The shipped digits network's measures."""
    torch.set_num_threads(1)
    return agreement.agreement(checkpoint.load("digits"), QuantConfig(), n=6, count=COUNT)


@pytest.mark.parametrize("spread", [0.0, 0.3], ids=["fitted", "perturbed"])
def test_imported_networks_agree_as_well_as_our_own(spread, own):
    found = measured(imported(spread), "digits")
    assert (found["diagonal"][0]["fitted"] == 16) == (spread == 0.0)
    for row, ours in zip(found["layers"], own["layers"]):
        assert row["p_error"] < max(5 * ours["p_error"], 0.005)
        for name in ("in", "out"):
            assert row[f"s_{name}"] < max(2 * ours[f"s_{name}"], 0.01)
            assert row[f"s_{name}"] < 0.1 * row[f"other_{name}"]


def test_own_network(own):
    assert own["n"] == 6 and len(own["layers"]) == 2 and "diagonal" not in own
    assert own["layers"][0]["s_in"] < 1e-3 < own["layers"][0]["other_in"]
    assert max(row["p_error"] for row in own["layers"]) < 0.005
    assert min(own["accuracy_float"], own["accuracy_integer"]) > 0.5


@pytest.mark.parametrize("options", [
    {}, {"residual": "plain"}, {"residual": "none", "act": "gelu", "gelu_before_sampler": True},
    {"sampling": "systematic"}, {"init": "hippo_legs"}, RELEASED,
    RELEASED | {"residual": "none", "norm_position": "post"}, {"kernel": "two_sided"},
    RELEASED | {"kernel": "two_sided"}],
    ids=["clampfuse", "plain", "gelu", "systematic", "dplr", "released", "post", "two_sided",
         "released, two_sided"])
def test_many_bits_agree_better_than_few(options, tmp_path):
    found = checkpoint.load(made(tmp_path / "net.pt", d_model=8, **options), task=TOY)
    wide, few = (agreement.agreement(found, config, n=6, count=COUNT)
                 for config in (QUANT_CONFIGS["wide"],
                                replace(QUANT_CONFIGS["narrow"], state_bits=9)))
    for fine, coarse in zip(wide["layers"], few["layers"]):
        assert fine["p_error"] < 0.5 * coarse["p_error"] and fine["p_error"] < 0.01


def test_a_wrong_layer_is_seen(monkeypatch):
    net = imported(0.3)
    right = measured(net, "digits")
    fold = agreement.fold

    def wrong(net):
        folded = fold(net)
        place = place_of(folded, 1, Scale, "p_out")
        return with_op(folded, place, b=op_at(folded, place).b.raw + 0.1)

    monkeypatch.setattr(agreement, "fold", wrong)
    found = measured(net, "digits")
    assert found["layers"][0]["p_error"] == pytest.approx(right["layers"][0]["p_error"], rel=0.2)
    assert found["layers"][1]["p_error"] > 0.03 > right["layers"][1]["p_error"]


def test_refuses_other_neurons():
    cfg = StreamConfig(n_classes=10, d_model=6, d_state=8)
    with pytest.raises(ExportError, match="the network is of family stream; .* family paper or "):
        measured(Network(cfg), "digits")


def test_command(tmp_path, monkeypatch, capsys):
    path = made(tmp_path / "mine.pt")
    monkeypatch.setattr(sys, "argv", ["quant.agreement", "--checkpoint", str(path), "-n", "3",
                                      "--task", TOY, "--json", str(tmp_path / "a.json")])
    agreement.main()
    assert "integers against float64" in capsys.readouterr().out
    found = json.loads((tmp_path / "a.json").read_text())["mine"]
    assert found["n"] == 3 and np.isfinite(found["layers"][1]["p_error"])
    monkeypatch.setattr(sys, "argv", ["quant.agreement", "--checkpoint", TOY, "--p-bits", "99"])
    with pytest.raises(FormatError, match="p_bits must be in"):
        agreement.main()
