"""A training that was begun before there were families goes on as if it had been begun today."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from golden import checkpoint
from golden.model import before
from golden.model.config import NetworkConfig
from golden.model.network import Network
from golden.training.run import Run, group_of
from golden.tasks import make_task
from golden.training.recipes import recipe_for
from tests.golden.test_before import KINDS, flat, network

# The parameters that networks of then had, in their order: in front, of a block, behind.
SSM = "ssm.log_A_re ssm.A_im ssm.log_dt ssm.C ssm.D"
END = "mixer.weight mixer.bias fuse.gamma fuse.beta"
RELEASED = "inp.a inp.b out.a out.b norm.gamma norm.beta"
FRONT, BACK = "encoder.weight encoder.bias", "decoder.weight decoder.bias"
THEN = {
    "paper": (f"input_gamma input_beta {FRONT}", f"b {SSM} ssm.a {END}", BACK),
    "plain": (f"input_gamma input_beta {FRONT}", f"b {SSM} ssm.a {END}", BACK),
    "paper, pair": (f"input_gamma input_beta {FRONT}", f"b {SSM} ssm.a {END}",
                    f"{BACK} head.hidden.weight head.hidden.bias head.last.weight head.last.bias"),
    "released": (FRONT, f"{RELEASED} ssm.log_A_re ssm.A_im ssm.B ssm.P ssm.inv_dt ssm.C ssm.D "
                        f"mixer.weight mixer.bias", f"last_norm.gamma last_norm.beta {BACK}"),
    "released, branch": (FRONT, f"{RELEASED} {SSM} inp_branch.a inp_branch.b "
                                f"{SSM.replace('ssm.', 'ssm_branch.')} mixer.weight mixer.bias",
                         BACK),
    "binary": (FRONT, f"norm.gamma norm.beta {SSM} mixer.value.weight mixer.value.bias "
                      f"mixer.gate.weight mixer.gate.bias",
               f"last_norm.gamma last_norm.beta {BACK}"),
    "s4d": (FRONT, f"norm.gamma norm.beta {SSM} ssm.C_future mixer.value.weight mixer.value.bias",
            BACK),
    "lif": (f"input_gamma input_beta {FRONT}",
            f"a b neurons_in.log_dt neurons_out.log_dt {SSM} {END}", BACK),
    "lif alone": (f"input_gamma input_beta {FRONT}",
                  f"a b neurons_in.log_dt neurons_out.log_dt {END}", BACK)}


def as_written(cfg: NetworkConfig) -> dict:
    """A configuration in the form of before."""
    lif = ("threshold", "reset", "reset_gradient", "drive")
    return flat(**{f"lif_{name}" if name in lif else name: value
                   for name, value in asdict(cfg).items() if name != "features"}
                | ({"neuron": "lif"} if cfg.family == "lif" else {}))


def as_before(stored: dict, net: Network, kind: str) -> dict:
    """The state of today's optimiser as one of then had it."""
    front, block, back = (text.split() for text in THEN[kind])
    order = front + [f"blocks.{k}.{name}" for k in range(net.cfg.n_blocks) for name in block] + back
    tensors, today = before.tensors(net), dict(net.named_parameters())
    groups = [[n for n in order if group_of(n, tensors[n]) == g] for g in range(3)]
    then = {then: now for now, then in before.names(net.cfg.family, today).items()}
    numbers = [n for g in range(3) for n in today if group_of(n, today[n]) == g]
    state, begin = {}, 0
    for k, name in enumerate(n for group in groups for n in group):
        at = numbers.index(then[name]) if name in then else None
        if at in stored["state"]:       # the others were never used
            state[k] = stored["state"][at]
    found = []
    for group, names in zip(stored["param_groups"], groups):
        found.append(group | {"params": list(range(begin, begin + len(names)))})
        begin += len(names)
    return {"state": state, "param_groups": found}


@pytest.mark.parametrize("kind", THEN)
def test_every_parameter_gets_its_own_state(kind):
    net = network(kind)
    today = dict(net.named_parameters())
    numbers = [n for g in range(3) for n in today if group_of(n, today[n]) == g]
    ends = np.cumsum([0] + [sum(group_of(n, p) == g for n, p in today.items()) for g in range(3)])
    stored = {"state": {k: {"step": torch.tensor(3.0), "exp_avg": today[name].detach().clone()}
                        for k, name in enumerate(numbers)},
              "param_groups": [{"lr": 0.1 * g, "params": list(range(*ends[g:g + 2]))}
                               for g in range(3)]}
    old = as_before(stored, net, kind)
    found = before.optimiser(old, net, group_of)
    assert found["param_groups"] == stored["param_groups"]
    assert list(found["state"]) == list(range(len(numbers)))
    for k, name in enumerate(numbers):
        assert torch.equal(found["state"][k]["exp_avg"], today[name]), name
    assert set(THEN) <= set(KINDS) and not set(old["state"]) - set(range(99))


@pytest.mark.parametrize("name, kind, options", [
    ("digits_tiny", "paper", {}), ("digits_tiny", "plain", {"residual": "plain"}),
    ("digits_binary", "binary", {}), ("digits_lif", "lif", {})])
def test_the_rest_of_a_training_is_the_same(name, kind, options, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    task = make_task("digits")
    split = task.load("train").take(np.arange(64))
    recipe = recipe_for(task, name)
    recipe = replace(recipe, epochs=3, warmup=2, network=replace(recipe.network, **options))
    found = []
    for converted in (False, True):
        run = Run(task, recipe, split)
        run.calibrate()
        run.epoch(0)
        content = run.content(1, 0.5)
        if converted:
            network = as_written(recipe.network)
            content |= {"network": network, "recipe": content["recipe"] | {"network": network},
                        "state": before.tensors(run.net),
                        "optimiser": as_before(content["optimiser"], run.net, kind)}
        checkpoint.write(tmp_path / "last.pt", content)
        torch.manual_seed(9)
        again = Run(task, recipe, split)
        assert again.restore(tmp_path / "last.pt") == (1, 0.5)
        again.epoch(1)
        found.append(again.net.state_dict())
    torch.set_num_threads(threads)
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())
