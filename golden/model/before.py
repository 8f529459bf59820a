"""Files of before there were families: their configurations and the names of their tensors.

Until then a configuration was one flat record for all kinds of network (``neuron`` and
``architecture`` said which), and every network had a first norm, used or not.
"""

import re
from collections.abc import Callable
from dataclasses import MISSING, fields

import torch

from golden.model.config import FAMILIES, NetworkConfig, from_dict

DEFAULTS = {
    "n_blocks": 2, "d_model": 128, "d_state": 16, "vocab": 0, "kernel": "causal", "act": "relu",
    "gelu_before_sampler": False, "residual": "clampfuse", "shared_A": False, "init": "s4d_lin",
    "dt_min": 1e-3, "dt_max": 1e-1, "dropout": 0.0, "sampling": "bernoulli",
    "architecture": "paper", "ssm": "diagonal", "branch": False, "pair": False, "features": 32,
    "tie_dropout": False, "neuron": "sampler", "mixer": "linear", "norm": "batch",
    "norm_position": "pre", "surrogate": "triangle", "surrogate_width": 1.0,
    "fires_at_zero": True, "ternary_threshold": 0.15, "lif_threshold": 1.0,
    "lif_reset": "subtract", "lif_reset_gradient": True, "lif_drive": "ssm"}
OF_NEURON = {"sampler": "paper", "heaviside": "stream", "gelu": "stream", "lif": "lif"}
CHOICES = {"architecture": ("paper", "released"), "ssm": ("diagonal", "dplr"),
           "neuron": tuple(OF_NEURON)}
REFUSED = {     # by family: options that had to keep their default; others may be there, unread
    "paper": ("branch", "tie_dropout", "norm", "norm_position", "mixer"),
    "released": ("neuron", "mixer"), "stream": ("branch", "pair", "tie_dropout"),
    "lif": ("branch", "pair", "tie_dropout", "norm", "norm_position", "mixer", "sampling",
            "gelu_before_sampler")}
TENSORS = {     # by family: today's name of a tensor, and the one of before; \1: the block
    "paper": [(r"first\.scale\.a", "input_gamma"), (r"first\.fire\.b", "input_beta"),
              (r"blocks\.(\d+)\.out\.b", r"blocks.\1.b")],
    "released": [(r"last\.norm\.(\w+)", r"last_norm.\1")],
    "stream": [(r"last\.norm\.(\w+)", r"last_norm.\1"),
               (r"blocks\.(\d+)\.(value|gate)\.(\w+)", r"blocks.\1.mixer.\2.\3")],
    "lif": [(r"first\.affine\.a", "input_gamma"), (r"first\.affine\.b", "input_beta"),
            (r"blocks\.(\d+)\.drive\.a", r"blocks.\1.a"),
            (r"blocks\.(\d+)\.neurons_out\.b", r"blocks.\1.b")]}

ORDER = {       # in which networks had their parameters: parts of all, and by family of a block
    "network": ("input_gamma", "input_beta", "encoder", "blocks", "last_norm", "decoder", "head"),
    "paper": ("b", "ssm", "mixer", "fuse"), "stream": ("norm", "ssm", "mixer"),
    "released": ("inp", "out", "norm", "ssm", "inp_branch", "ssm_branch", "mixer"),
    "lif": ("a", "b", "neurons_in", "neurons_out", "ssm", "mixer", "fuse")}


def config(values: dict) -> NetworkConfig:
    """A configuration of either form; ``ValueError`` as ``golden.model.config.from_dict``."""
    if "family" in values:
        return from_dict(values)
    unknown = sorted(str(name)[:40] for name in set(values) - set(DEFAULTS) - {"n_classes"})
    if unknown:
        raise ValueError(f"unknown option {', '.join(unknown[:3])} in the network configuration")
    old = DEFAULTS | values
    for name, allowed in CHOICES.items():
        if old[name] not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {old[name]!r}")
    if (old["ssm"] == "dplr") != (old["init"] == "hippo_legs"):
        raise ValueError(f"ssm {old['ssm']} with init {old['init']}: dplr needs init hippo_legs, "
                         f"and only dplr can have it")
    family = "released" if old["architecture"] == "released" else OF_NEURON[old["neuron"]]
    for name in REFUSED[family]:
        if old[name] != DEFAULTS[name]:
            raise ValueError(f"{name} {old[name]}: a network of family {family} has no such option")
    old["features"] *= bool(old["pair"])
    cls = FAMILIES[family]
    found = {f.name: old.get(f"lif_{f.name}" if family == "lif" else f.name, old.get(f.name))
             for f in fields(cls)}
    for f in fields(cls):               # what had no effect
        rule = cls.IDLE.get(f.name)
        if rule and found[rule[0]] not in rule[1]:
            found[f.name] = f.default
        if found[f.name] is None and f.default is MISSING:
            raise ValueError(f"the network configuration lacks {f.name}")
    if family == "released" and not old["dropout"]:
        found["tie_dropout"] = False
    return cls(**found)


def names(family: str, keys) -> dict[str, str]:
    """The name that each of today's tensors had before."""
    found = {}
    for key in keys:
        found[key] = key
        for pattern, old in TENSORS[family]:
            if re.fullmatch(pattern, key):
                found[key] = re.sub(pattern, old, key)
    return found


def state(values: dict[str, torch.Tensor], own: list[str], family: str) -> dict:
    """Tensors under today's names, from either form; ``own`` are a network's names.

    Of the form of before the first norm is left out where a network had it without using it.
    """
    if not set(values) - set(own):
        return values
    today = {old: key for key, old in names(family, own).items()}
    return {today.get(name, name): tensor for name, tensor in values.items()
            if name in today or name not in ("input_gamma", "input_beta")}


def tensors(net) -> dict[str, torch.Tensor]:
    """A network's tensors as files of before have them; an unused first norm starts."""
    own, cfg = net.state_dict(), net.cfg
    found = {old: own[name] for name, old in names(cfg.family, own).items()}
    first = {"input_gamma": torch.ones(cfg.d_model), "input_beta": torch.zeros(cfg.d_model)}
    return (first if cfg.family in ("paper", "lif") else {}) | found


def optimiser(stored: dict, net, group_of: Callable) -> dict:
    """The state of an optimiser that a network of before had, for today's parameters.

    ``group_of(name, tensor)`` is the number of a parameter's group; in every group the parameters
    are in the network's order, and they are numbered from group to group.
    """
    family, old = net.cfg.family, tensors(net)

    def place(name: str) -> tuple:
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        part = (block[2] if block else name).split(".")[0]
        own = (int(block[1]), ORDER[family].index(part)) if block else ()
        return ORDER["network"].index("blocks" if block else part), *own

    def numbered(parameters: dict) -> list[str]:
        return sorted(parameters, key=lambda name: group_of(name, parameters[name]))

    then = {name: old[name] for name in sorted(old, key=place)
            if name.split(".")[-1] not in ("mean", "var", "length")}
    number = {name: k for k, name in enumerate(numbered(then))}
    own = dict(net.named_parameters())
    was = [number[names(family, own)[name]] for name in numbered(own)]
    groups = [group_of(name, own[name]) for name in numbered(own)]
    return {"state": {k: stored["state"][j] for k, j in enumerate(was) if j in stored["state"]},
            "param_groups": [group | {"params": [k for k, g in enumerate(groups) if g == i]}
                             for i, group in enumerate(stored["param_groups"])]}
