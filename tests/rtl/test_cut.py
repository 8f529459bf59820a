"""Blocks cut at their states and mixers: every family's, and the refusals."""

from dataclasses import replace

import numpy as np
import pytest

from golden.base.qformat import SQ
from quant.formats import BIT, TERNARY
from quant.integer.memory import Fire, States
from quant.integer.operation import Tensor
from quant.integer.ops import Add, Limit, Mix, Scale, Step, Ternary
from quant.integer.synthetic import random_artifact
from rtl.cut import cut
from rtl.parts.config import HardwareConfig, HardwareError
from rtl.plan import plan

SMALL = dict(n_layers=2, H=4, n=2, length=16)
# name: options; then front, what enters the states, middle, threshold, mixers, back
FAMILIES = {
    "paper": (dict(), ["Fire (x -> s_in)"], "s_in", ["Fire (y -> s_out)"], False, ["z"],
              ["Curve (z -> z)", "Scale (z -> z)", "Scale (z -> z)", "Add (z x -> z)",
               "Clamp (z -> x)"]),
    "paper, identity": (dict(act="identity", residual="none"), ["Fire (x -> s_in)"], "s_in",
                        ["Fire (y -> s_out)"], False, ["z"],
                        ["Scale (z -> z)", "Scale (z -> z)", "Clamp (z -> x)"]),
    "plain": (dict(residual="plain"), ["Scale (x -> p_in)", "Fire (p_in -> s_in)"], "s_in",
              ["Fire (y -> s_out)"], False, ["z"],
              ["Curve (z -> z)", "Scale (z -> z)", "Add (x z -> z)", "Scale (z -> z)",
               "Limit (z -> x)"]),
    "glu": (dict(kind="glu"), ["Scale (x -> u)", "Limit (u -> u)"], "u", ["Step (y -> s_out)"],
            False, ["n", "gate"], ["Limit (n -> n)", "Limit (gate -> gate)", "Table (gate -> gate)",
                                   "Product (n gate -> z)", "Add (z x -> z)", "Limit (z -> x)"]),
    "glu, post": (dict(kind="glu", norm_position="post", residual="none"), [], "x",
                  ["Step (y -> s_out)"], False, ["n", "gate"],
                  ["Limit (n -> n)", "Limit (gate -> gate)", "Table (gate -> gate)",
                   "Product (n gate -> z)", "Limit (z -> x)", "Scale (x -> x)", "Limit (x -> x)"]),
    "gsu": (dict(kind="gsu"), ["Scale (x -> u)", "Limit (u -> u)"], "u",
            ["Limit (y -> y_in)", "Table (y_in -> a)"], True, ["n", "gate"],
            ["Limit (n -> n)", "Limit (gate -> gate)", "Product (n gate -> z)", "Add (z x -> z)",
             "Limit (z -> x)"]),
}


def names(wires) -> list[str]:
    return [str(wire.op) for wire in wires]


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family):
    options, front, u, middle, limited, mixed, back = FAMILIES[family]
    art = random_artifact(1, **options, **SMALL)
    found = cut(art, 1)
    assert names(found.front) == front and found.u == u and names(found.middle) == middle
    assert isinstance(found.states.op, States) and bool(found.ternary) == limited
    assert [wire.op.makes for wire in found.mixes] == mixed and names(found.back) == back
    assert found.adds_x == any("Add" in one for one in back)
    assert found.saturates == (back[-1].startswith("Limit"))
    assert bool(found.b) == (options.get("kind", "paper") == "paper")
    assert found.sent == (("a",) if limited else ("s_out",))
    assert found.formats[found.sent[0]] == (art.blocks[1] and (
        next(w.made for w in found.middle if w.op.makes == "a") if limited else BIT))
    parts = [*found.front, found.states, *found.middle, *([found.ternary] if limited else []),
             *found.mixes, *found.back]
    left = [op for op in art.blocks[1] if op not in [wire.op for wire in parts]]
    assert [str(op) for op in left] == ["Scale (y -> y)"] * bool(found.b), "nothing is lost"


def test_a_gelu_keeps_its_offset_behind_it():
    """b is added to y only where it follows the states at once."""
    found = cut(random_artifact(1, gelu_out=True, **SMALL), 0)
    assert found.b is None and found.y == found.states.made
    assert names(found.middle) == ["Curve (y -> v)", "Scale (v -> p_out)",
                                   "Fire (p_out -> s_out)"]


def changed(kind: str, change):
    """Layer 1 of a network with its operations changed."""
    art = random_artifact(1, kind=kind, **SMALL)
    return replace(art, blocks=(art.blocks[0], tuple(change(list(art.blocks[1]))))).check()


def at(ops, kind) -> int:
    return next(k for k, op in enumerate(ops) if isinstance(op, kind))


def behind(kind, *more):
    """Operations behind the first of a kind."""
    def change(ops):
        k = at(ops, kind) + 1
        return [*ops[:k], *more, *ops[k:]]
    return change


def second_states(ops):
    k = at(ops, States)
    return [*ops[:k], replace(ops[k], wiring="u -> v", layer=2), *ops[k:]]


def states_behind(ops):
    """The states' place is behind a mixer."""
    k = at(ops, Mix)
    w = Tensor(np.ones((4, 4), np.int64), TERNARY)
    mix = Mix("u -> m", w, Tensor(np.zeros(4, np.int64), SQ(2, ops[1].to.f_bits)))
    return [*ops[:2], mix, *ops[2:k], *ops[k:]]


REFUSED = {
    "no mixer": ("glu", lambda ops: [*ops[:at(ops, States) + 1], Limit("y -> x", ops[-1].to)],
                 "layer 1: it has no Mix, with which hardware joins neurons"),
    "two states": ("glu", second_states,
                   r"layer 1: States \(u -> y\) is a second state space model of a layer"),
    "states behind a mixer": ("glu", states_behind,
                              r"layer 1: States \(u -> y\) has a memory behind the mixers"),
    "a threshold that is not the last": (
        "gsu", behind(Ternary, Scale("s_out -> s_out", None, Tensor(
            np.zeros(4, np.int64), SQ(2, 0)))),
        r"layer 1: Ternary \(a -> s_out\) does not stand right in front of the mixers"),
    "x across the states": ("glu", behind(Step, Add("u x -> w")),
                            r"layer 1: Add \(u x -> w\) reads u across the states or mixers"),
    "y across the mixers": ("glu", behind(Mix, Add("n y -> w")),
                            r"layer 1: Add \(n y -> w\) reads y across the states or mixers"),
    "a sampler behind the mixers": ("glu", behind(Mix, Limit("n -> p", SQ(2, 5), counted=False),
                                                  Fire("p -> q", "bernoulli", 2)),
                                    r"layer 1: Fire \(p -> q\) has a memory behind the mixers"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what):
    """One line with layer, operation and what to do; the plan says the same."""
    kind, change, message = REFUSED[what]
    art = changed(kind, change)
    with pytest.raises(HardwareError, match=f"^{message}.*run the network with python -m "
                                            f"quant.evaluate$") as said:
        cut(art, 1)
    assert "\n" not in str(said.value)
    with pytest.raises(HardwareError, match=f"^{message}"):
        plan(art, HardwareConfig(2))
    cut(art, 0)
