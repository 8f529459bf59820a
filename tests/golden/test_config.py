"""Configurations: what cannot be, and what would have no effect, is refused by name."""

from dataclasses import fields

import pytest
import torch

from golden.model import config
from golden.model.config import (CHOICES, FAMILIES, LIFConfig, PaperConfig, ReleasedConfig,
                                 StreamConfig, from_dict)
from golden.model.network import Network

ALL = list(FAMILIES.values())
OTHER = {int: 6, float: 0.25}       # a value that is no default
# With which other options an option has an effect: IDLE of each family, written out.
READ_WITH = {
    StreamConfig: {"act": {"neuron": "gelu", "mixer": "linear"},
                   "ternary_threshold": {"neuron": "gelu", "mixer": "gsu"},
                   "surrogate": {"neuron": "heaviside"}, "surrogate_width": {"neuron": "heaviside"},
                   "fires_at_zero": {"neuron": "heaviside"}},
    LIFConfig: {name: {"drive": "ssm"} for name in ("d_state", "kernel", "shared_A", "init")}}
IDLE = [(cls, name) for cls in ALL for name in cls.IDLE]


def beside(cls: type, name: str) -> dict:
    """Other options with which an option can be another than its default."""
    if name in ("tie_dropout", "mixer"):
        return {"tie_dropout": {"dropout": 0.5}, "mixer": {"neuron": "gelu"}}[name]
    return READ_WITH.get(cls, {}).get(name, {})


def other(cls: type, name: str):
    """An allowed value of an option that is not its default."""
    field = next(f for f in fields(cls) if f.name == name)
    choices = CHOICES | cls.CHOICES
    if name in choices:
        return next(value for value in choices[name] if value != field.default)
    if name == "dt_min":
        return 0.02
    return not field.default if field.type is bool else OTHER[field.type]


def test_the_options_that_others_make_idle():
    assert {cls: set(cls.IDLE) for cls in ALL if cls.IDLE} == {
        cls: set(names) for cls, names in READ_WITH.items()}


@pytest.mark.parametrize("cls, name", IDLE, ids=lambda x: getattr(x, "family", x))
def test_an_option_without_effect_is_refused(cls, name):
    """With every value of the other option that makes it idle; with the others it is taken."""
    value, (switch, reading) = other(cls, name), cls.IDLE[name]
    choices = (CHOICES | cls.CHOICES)[switch]
    refused = 0
    for setting in choices:
        options = {"n_classes": 2, name: value} | beside(cls, switch) | {switch: setting}
        if setting in reading:
            assert getattr(cls(**options), name) == value
            continue
        refused += 1
        with pytest.raises(ValueError, match=f"{name} = {value} has no effect with {switch} = "
                                             f"{setting}: it is used with {switch} {reading[0]}"):
            cls(**options)
        assert not cls(**{k: v for k, v in options.items() if k != name}).reads(name)
    assert refused


def changed_by(cls: type, name: str, options: dict) -> bool:
    """Whether an option changes a network's start, its output or its gradients."""
    found = []
    for more in ({}, {name: other(cls, name)}):
        torch.manual_seed(3)
        net = Network(cls(**{"n_classes": 2, "d_model": 5} | options | more)).double()
        v = (torch.randint(0, net.cfg.vocab, (4, 80)) if net.cfg.vocab
             else torch.rand(4, 80).double())
        net.calibrate(v)
        torch.manual_seed(4)
        out = net.train()(v)
        out.square().sum().backward()
        found.append([out, *net.parameters(), *(p.grad for p in net.parameters())])
    return len(found[0]) != len(found[1]) or any(
        a is not None and (a.shape != b.shape or not torch.equal(a, b)) for a, b in zip(*found))


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.family)
def test_every_other_option_has_an_effect(cls):
    """So no two configurations that are taken are one network."""
    for field in fields(cls):
        name = field.name
        if name == "fires_at_zero":         # only a sum of exactly 0 tells: see test_neurons
            continue
        assert changed_by(cls, name, beside(cls, name)), name


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.family)
@pytest.mark.parametrize("options, message", [
    ({"vocab": -3}, "vocab must be a whole number of at least 0, not -3"),
    ({"d_model": 2.0}, "d_model must be a whole number of at least 1, not 2.0"),
    ({"d_model": True}, "d_model must be a whole number of at least 1, not True"),
    ({"d_model": 0}, "d_model must be a whole number of at least 1, not 0"),
    ({"n_classes": 0}, "n_classes must be a whole number of at least 1, not 0"),
    ({"n_blocks": "2"}, "n_blocks must be a whole number of at least 1, not '2'"),
    ({"d_state": 3}, "d_state must be even and at least 2, not 3"),
    ({"dt_min": 0.0}, "dt_min, dt_max must satisfy 0 < dt_min <= dt_max, not 0.0, 0.1"),
    ({"dt_min": 0.2}, "0 < dt_min <= dt_max, not 0.2, 0.1"),
    ({"dt_max": float("inf")}, "dt_max must be a finite number, not inf"),
    ({"dt_min": "0.1"}, "dt_min must be a finite number, not '0.1'"),
    ({"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"),
    ({"dropout": float("nan")}, "dropout must be a finite number, not nan"),
    ({"shared_A": 1}, "shared_A must be True or False, not 1"),
    ({"kernel": "acausal"}, "kernel must be one of causal, two_sided in family "),
    ({"kernel": ["causal"]}, "kernel must be one of causal, two_sided in family "),
    ({"residual": "sum"}, "residual must be one of none, "),
    ({"lif_reset": "zero"}, "unknown option lif_reset of a network of family "),
    ({"magic": 1}, "unknown option magic of a network of family [a-z]+; known: n_classes, ")],
    ids=str)
def test_wrong_values_are_named(cls, options, message):
    with pytest.raises(ValueError, match=message) as error:
        from_dict({"family": cls.family, "n_classes": 2} | options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("family, options, message", [
    ("stream", {"neuron": "heaviside", "sampling": "sobol"}, "unknown option sampling of .* str"),
    ("stream", {"gelu_before_sampler": True}, "unknown option gelu_before_sampler"),
    ("stream", {"act": "gelu"}, "act = gelu has no effect with mixer = glu: it is used with mixer "
                                "linear; leave it out"),
    ("lif", {"sampling": "sobol"}, "unknown option sampling of .* lif; known: n_classes"),
    ("paper", {"surrogate": "arctan"}, "unknown option surrogate of .* paper"),
    ("released", {"residual": "clampfuse"}, "residual must be one of none, plain in family rel"),
    ("released", {"tie_dropout": True}, "tie_dropout = True has no effect with dropout = 0")])
def test_what_has_no_effect_cannot_be_written(family, options, message):
    with pytest.raises(ValueError, match=message) as error:
        from_dict({"family": family, "n_classes": 2} | options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("family", ["binary", None, 3])
def test_an_unknown_family_is_named(family):
    with pytest.raises(ValueError, match=f"family must be one of paper, released, stream, lif, not "
                                         f"{family!r}"):
        from_dict({"family": family, "n_classes": 2})


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.family)
def test_there_and_back(cls):
    for name in (f.name for f in fields(cls)):
        cfg = cls(**{"n_classes": 2} | beside(cls, name) | {name: other(cls, name)})
        assert from_dict(cfg.to_dict()) == cfg
        assert cfg.to_dict()["family"] == cls.family and cfg.to_dict()[name] == other(cls, name)


def test_choices_of_a_family_are_among_all():
    for cls in ALL:
        for name, values in cls.CHOICES.items():
            assert set(values) < set(CHOICES[name])
    used = {f.name for cls in ALL for f in fields(cls)}
    assert set(CHOICES) <= used and config.NetworkConfig not in ALL
    assert (PaperConfig(n_classes=2).pair, PaperConfig(n_classes=2, features=3).pair) == (False,
                                                                                         True)
    assert ReleasedConfig(n_classes=2).dplr and not ReleasedConfig(n_classes=2, init="s4d_inv").dplr
