"""Files of before there were families: every kind loads, its tensors where they belong."""

from dataclasses import replace

import pytest
import torch

from golden import checkpoint, tasks
from golden.training.grow import widen
from golden.model import before
from golden.model.config import LIFConfig, PaperConfig, ReleasedConfig, StreamConfig
from golden.model.network import Network

SHAPE = {"n_classes": 10, "n_blocks": 2, "d_model": 4, "d_state": 6}
DIAGONAL = ["log_A_re", "A_im", "log_dt", "C", "D"]
DPLR = ["log_A_re", "A_im", "B", "P", "inv_dt", "C", "D", "length"]
NORM = ["gamma", "beta", "mean", "var"]
LINEAR = ["weight", "bias"]


def flat(**options) -> dict:
    """A configuration as it was written: one record of 32 options."""
    whole = SHAPE | {
        "vocab": 0, "kernel": "causal", "act": "relu", "gelu_before_sampler": False,
        "residual": "clampfuse", "shared_A": False, "init": "s4d_lin", "dt_min": 0.001,
        "dt_max": 0.1, "dropout": 0.0, "sampling": "bernoulli", "architecture": "paper",
        "ssm": "diagonal", "branch": False, "pair": False, "features": 32, "tie_dropout": False,
        "neuron": "sampler", "mixer": "linear", "norm": "batch", "norm_position": "pre",
        "surrogate": "triangle", "surrogate_width": 1.0, "fires_at_zero": True,
        "ternary_threshold": 0.15, "lif_threshold": 1.0, "lif_reset": "subtract",
        "lif_reset_gradient": True, "lif_drive": "ssm"}
    assert not set(options) - set(whole)
    return whole | options


def of(part: str, names: list[str]) -> list[str]:
    return [f"{part}.{name}" for name in names]


SAMPLERS = ["b", *of("mixer", LINEAR), *of("fuse", NORM)]
RELEASED = [*of("inp", "ab"), *of("norm", NORM), *of("out", "ab"), *of("mixer", LINEAR)]
GATED = [*of("norm", NORM), *of("ssm", DIAGONAL), *of("mixer.value", LINEAR)]
GATE = of("mixer.gate", LINEAR)
LIF = ["a", *of("neurons_in", ["log_dt"]), *of("neurons_out", ["log_dt"]), *SAMPLERS]
FIRST, LAST = ["input_gamma", "input_beta"], of("last_norm", NORM)
HIPPO = {"ssm": "dplr", "init": "hippo_legs"}
MLP = of("hidden", LINEAR) + of("last", LINEAR)

# name: options of before, today's configuration, tensors of a block and others beside encoder and
# decoder, as the networks of then had them
KINDS = {
    "paper": ({}, PaperConfig(**SHAPE), [*of("ssm", [*DIAGONAL, "a"]), *SAMPLERS], FIRST),
    "plain": ({"residual": "plain", "sampling": "sobol", "dropout": 0.1, "lif_drive": "spikes"},
              PaperConfig(**SHAPE, residual="plain", sampling="sobol", dropout=0.1),
              [*of("ssm", [*DIAGONAL, "a"]), *SAMPLERS], FIRST),
    "none, gelu": ({"residual": "none", "act": "gelu", "gelu_before_sampler": True, "dt_max": 0.5,
                    "shared_A": True, "init": "s4d_inv", "vocab": 0},
                   PaperConfig(**SHAPE, residual="none", act="gelu", gelu_before_sampler=True,
                               dt_max=0.5, shared_A=True, init="s4d_inv"),
                   [*of("ssm", [*DIAGONAL, "a"]), *SAMPLERS], FIRST),
    "paper, dplr": ({**HIPPO, "kernel": "two_sided"},
                    PaperConfig(**SHAPE, init="hippo_legs", kernel="two_sided"),
                    [*of("ssm", [*DPLR, "a", "C_future"]), *SAMPLERS], FIRST),
    "paper, pair": ({"pair": True, "features": 5}, PaperConfig(**SHAPE, features=5),
                    [*of("ssm", [*DIAGONAL, "a"]), *SAMPLERS], [*FIRST, *of("head", MLP)]),
    "released": ({"architecture": "released", **HIPPO, "act": "gelu", "gelu_before_sampler": True,
                  "residual": "plain", "dropout": 0.2, "tie_dropout": True},
                 ReleasedConfig(**SHAPE, dropout=0.2, tie_dropout=True),
                 [*of("ssm", DPLR), *RELEASED], LAST),
    "released, branch": (
        {"architecture": "released", "residual": "none", "branch": True, "norm_position": "post",
         "norm": "layer", "tie_dropout": True},
        ReleasedConfig(**SHAPE, init="s4d_lin", act="relu", gelu_before_sampler=False,
                       residual="none", branch=True, norm_position="post", norm="layer"),
        [*of("ssm", DIAGONAL), *of("ssm_branch", DIAGONAL), *of("inp_branch", "ab"), *RELEASED],
        []),
    "released, pair": ({"architecture": "released", "residual": "plain", "pair": True},
                       ReleasedConfig(**SHAPE, init="s4d_lin", act="relu",
                                      gelu_before_sampler=False, pair=True),
                       [*of("ssm", DIAGONAL), *RELEASED], LAST),
    "binary": ({"neuron": "heaviside", "mixer": "glu", "residual": "plain", "surrogate": "arctan",
                "sampling": "sobol", "gelu_before_sampler": True, "ternary_threshold": 0.3},
               StreamConfig(**SHAPE, surrogate="arctan"), [*GATED, *GATE], LAST),
    "gsu": ({"neuron": "gelu", "mixer": "gsu", "residual": "none", "ternary_threshold": 0.3,
             "fires_at_zero": False, "act": "gelu", "lif_reset": "zero"},
            StreamConfig(**SHAPE, neuron="gelu", mixer="gsu", residual="none",
                         ternary_threshold=0.3), [*GATED, *GATE], LAST),
    "s4d": ({"neuron": "gelu", "residual": "plain", "norm_position": "post", "act": "gelu",
             "kernel": "two_sided"},
            StreamConfig(**SHAPE, neuron="gelu", mixer="linear", norm_position="post", act="gelu",
                         kernel="two_sided"), [*GATED, "ssm.C_future"], []),
    "lif": ({"neuron": "lif", "lif_threshold": 0.5, "lif_reset": "zero", "surrogate_width": 2.0,
             "lif_reset_gradient": False, "features": 7},
            LIFConfig(**SHAPE, threshold=0.5, reset="zero", surrogate_width=2.0,
                      reset_gradient=False), [*of("ssm", DIAGONAL), *LIF], FIRST),
    "lif alone": ({"neuron": "lif", "lif_drive": "spikes", "residual": "plain"},
                  LIFConfig(**{k: v for k, v in SHAPE.items() if k != "d_state"}, drive="spikes",
                            residual="plain"), LIF, FIRST)}


class Pairs(tasks.make_task("digits").__class__):
    """The digits' classes for two sequences."""

    inputs = 2


def old_names(kind: str) -> set[str]:
    options, _, block, others = KINDS[kind]
    released_pair = options.get("pair") and "architecture" in options
    return {*of("encoder", LINEAR), *of("decoder", MLP if released_pair else LINEAR), *others,
            *(f"blocks.{k}.{name}" for k in range(2) for name in block)}


def network(kind: str) -> Network:
    """A network of the kind, every tensor with numbers of its own."""
    torch.manual_seed(1)
    net = Network(KINDS[kind][1])
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 1)
    return net.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_configurations(kind):
    options, wanted, *_ = KINDS[kind]
    assert before.config(flat(**options)) == wanted
    assert before.config(SHAPE | options) == wanted         # what is absent had its default
    assert before.config(wanted.to_dict()) == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_have_their_names_of_before_and_come_back(kind):
    net = network(kind)
    own, old = net.state_dict(), before.tensors(net)
    assert set(old) == old_names(kind)
    found = before.state(old, list(own), net.cfg.family)
    assert set(found) == set(own) and all(torch.equal(found[name], own[name]) for name in own)
    assert before.state(own, list(own), net.cfg.family) == own


MOVED = {       # kind: today's name of a tensor, the one of before
    "paper": {"blocks.1.out.b": "blocks.1.b", "blocks.0.fuse.beta": "blocks.0.fuse.beta"},
    "plain": {"first.scale.a": "input_gamma", "first.fire.b": "input_beta"},
    "released": {"last.norm.gamma": "last_norm.gamma", "blocks.0.out.b": "blocks.0.out.b"},
    "binary": {"blocks.1.value.weight": "blocks.1.mixer.value.weight", "last.norm.mean":
               "last_norm.mean", "blocks.0.gate.bias": "blocks.0.mixer.gate.bias"},
    "lif": {"blocks.0.drive.a": "blocks.0.a", "blocks.1.neurons_out.b": "blocks.1.b"},
    "lif alone": {"first.affine.a": "input_gamma", "first.affine.b": "input_beta"}}


@pytest.mark.parametrize("kind", MOVED)
def test_which_tensor_is_which(kind):
    net = network(kind)
    own, old = net.state_dict(), before.tensors(net)
    for today, then in MOVED[kind].items():
        assert torch.equal(own[today], old[then]), (today, then)


def test_unused_tensors_have_their_start_values():
    old = before.tensors(network("paper"))
    assert (old["input_gamma"] == 1).all() and (old["input_beta"] == 0).all()
    net = network("plain")          # has a first norm, and one behind the last block that is idle
    old = before.tensors(net)
    assert torch.equal(old["input_gamma"], net.first.scale.a)
    assert all(torch.equal(old[f"blocks.1.fuse.{name}"], getattr(net.blocks[1].fuse, name))
               for name in NORM)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_of_before_loads_and_is_the_same_network(kind, tmp_path):
    options, cfg, *_ = KINDS[kind]
    net, path = network(kind), tmp_path / "old.pt"
    task = "tests.golden.test_before:Pairs" if cfg.pair else "digits"
    checkpoint.write(path, {"network": flat(**options), "task": task, "permutation": getattr(
        tasks.make_task(task), "permutation", None), "state": before.tensors(net), "info": {}})
    found = checkpoint.load(path, task=task).network
    assert found.cfg == cfg and not found.training
    v = torch.rand(4, 30)
    records = []
    for each in (net, found):
        torch.manual_seed(0)
        records.append((each(v), each.state_dict()))
    assert torch.equal(records[0][0], records[1][0])
    assert all(torch.equal(records[1][1][name], tensor) for name, tensor in records[0][1].items())


@pytest.mark.parametrize("change, message", [
    ({"input_gamma": None, "blocks.0.b": None}, "missing blocks.0.out.b"),
    ({"blocks.0.c": torch.zeros(4)}, "unknown blocks.0.c"),
    ({"last_norm.gamma": torch.zeros(4)}, "unknown last_norm.gamma"),
    ({"blocks.0.b": torch.zeros(5)}, r"blocks.0.out.b has shape \(5,\)")])
def test_tensors_of_before_that_do_not_fit(change, message, tmp_path):
    state = {name: t for name, t in (before.tensors(network("paper")) | change).items()
             if t is not None}
    checkpoint.write(tmp_path / "old.pt", {
        "network": flat(), "task": "digits", "permutation": tasks.make_task("digits").permutation,
        "state": state})
    with pytest.raises(checkpoint.CheckpointError, match=message):
        checkpoint.load(tmp_path / "old.pt")


@pytest.mark.parametrize("options, message", [
    ({"magic": 1}, "unknown option magic in the network configuration"),
    ({"neuron": "stream"}, "neuron must be one of sampler, heaviside, gelu, lif, not 'stream'"),
    ({"architecture": "other"}, "architecture must be one of paper, released, not 'other'"),
    ({"ssm": "dense"}, "ssm must be one of diagonal, dplr, not 'dense'"),
    ({"ssm": "dplr"}, "ssm dplr with init s4d_lin"),
    ({"init": "hippo_legs"}, "ssm diagonal with init hippo_legs"),
    ({"vocab": -3}, "vocab must be a whole number of at least 0"),
    ({"architecture": "released"}, "residual must be one of none, plain in family released"),
    ({"architecture": "released", "residual": "plain", "neuron": "lif"},
     "neuron lif: a network of family released has no such option"),
    ({"neuron": "gelu"}, "residual must be one of none, plain in family stream"),
    ({"neuron": "heaviside", "residual": "plain"}, "mixer must be glu with neuron heaviside"),
    ({"neuron": "gelu", "residual": "plain", **HIPPO}, "init must be one of s4d_lin, s4d_inv"),
    ({"neuron": "gelu", "residual": "plain", "pair": True}, "pair True: a network of family "),
    ({"neuron": "lif", "sampling": "sobol"}, "sampling sobol: a network of family lif has no"),
    ({"neuron": "lif", "norm": "layer"}, "norm layer: a network of family lif has no such option"),
    ({"branch": True}, "branch True: a network of family paper has no such option"),
    ({"mixer": "glu"}, "mixer glu: a network of family paper has no such option"),
    ({"norm_position": "post"}, "norm_position post: a network of family paper has no such")],
    ids=str)
def test_configurations_that_were_never_possible(options, message):
    with pytest.raises(ValueError, match=message):
        before.config(SHAPE | options)


def test_classes_are_not_made_up():
    with pytest.raises(ValueError, match="the network configuration lacks n_classes"):
        before.config({"d_model": 4})


def test_a_network_of_before_is_widened():
    small, cfg = network("paper"), replace(PaperConfig(**SHAPE), d_model=6)
    wide = [Network(cfg), Network(cfg)]
    wide[1].load_state_dict(wide[0].state_dict())
    widen(wide[0], small.state_dict())
    widen(wide[1], before.tensors(small))
    assert torch.equal(wide[0].blocks[1].out.b, wide[1].blocks[1].out.b)
    assert torch.equal(wide[0].blocks[1].out.b[:4], small.blocks[1].out.b)
    assert all(torch.equal(a, b) for a, b in zip(*(w.state_dict().values() for w in wide)))


SHIPPED = sorted(path for path in checkpoint.SHIPPED.glob("*.pt")
                 if not path.name.endswith(".qat.pt"))         # those are of quant.finetune


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_networks(path):
    """They are files of before: flat, with a first norm that nothing used."""
    content = checkpoint.read(path)
    assert "family" not in content["network"] and "input_gamma" in content["state"]
    net = checkpoint.load(path).network
    assert net.cfg.family == "paper" and net.cfg.d_model == content["network"]["d_model"]
    old = before.tensors(net)
    assert set(old) == set(content["state"])
    for name, tensor in content["state"].items():
        if name in old and name not in FIRST:
            assert torch.equal(old[name], tensor), name
