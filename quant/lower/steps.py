"""A trained network step by step as operations with real numbers in their tensors, float64.

Each kind of step of ``golden.model.ops`` has its own function here; ``quant.lower.passes`` then
brings the operations into the form that is quantised. What has no operation in integers is refused
by its name.
"""

from collections.abc import Callable

import numpy as np
import torch

from golden.base.cli import UserError
from golden.model import ops as golden
from golden.model.dplr import DPLR
from golden.model.lif import Integrate
from golden.model.norms import Norm
from golden.model.ssm import DiagonalSSM
from quant.integer import membrane, ops
from quant.integer.future import Future
from quant.integer.memory import Fire, States
from quant.integer.operation import Operation, Tensor
from quant.integer.sampling import FORMS

STREAMS = ("heaviside", "glu"), ("gelu", "gsu")     # neurons with mixers
EMPTY = Tensor(np.zeros(0))     # of a table, which has no real numbers


class FoldError(UserError):
    """The integers cannot have this network; the message names the step and what is allowed."""


def array(t: torch.Tensor) -> np.ndarray:
    return t.detach().to(torch.float64).numpy().copy()


def real(t: torch.Tensor | None) -> Tensor | None:
    return None if t is None else Tensor(array(t))


def _norm(step: Norm, wiring: str, _net) -> list[Operation]:
    scale = array(step.gamma) / np.sqrt(array(step.var) + step.eps)
    return [ops.Scale(wiring, Tensor(scale), Tensor(array(step.beta) - scale * array(step.mean)))]


def _states(step: DiagonalSSM, wiring: str, _net) -> list[Operation]:
    """``DiagonalSSM.discrete`` in float64 from the stored parameters; two-sided with a Future."""
    A = -np.exp(array(step.log_A_re)) + 1j * array(step.A_im)
    A_bar = np.exp(np.exp(array(step.log_dt))[:, None] * A)
    a = np.ones(len(A_bar)) if step.a is None else array(step.a)

    def modes(C: np.ndarray) -> list[Tensor]:
        g = 2 * a[:, None] * (C[..., 0] + 1j * C[..., 1]) * (A_bar - 1) / A
        return [Tensor(part) for part in (A_bar.real, A_bar.imag, g.real, g.imag)]

    found = [States(wiring, *modes(array(step.C)), Tensor(a * array(step.D)))]
    if step.two_sided:
        u, y = wiring.split(" -> ")
        found += [Future(f"{u} -> future", *modes(array(step.C_future))),
                  ops.Add(f"{y} future -> {y}")]
    return found


def _fire(step: golden.Fire, wiring: str, net) -> list[Operation]:
    value = wiring.split(" -> ")[0]
    offset = [] if step.b is None else [ops.Scale(f"{value} -> {value}", None, real(step.b))]
    return [*offset, Fire(wiring, net.cfg.sampling, step.number)]


def _integrate(step: Integrate, wiring: str, net) -> list[Operation]:
    value, cfg = wiring.split(" -> ")[0], net.cfg
    offset = [] if step.b is None else [ops.Scale(f"{value} -> {value}", None, real(step.b))]
    leak, theta = np.exp(-np.exp(array(step.log_dt))), np.array(cfg.threshold, float)
    return [*offset, membrane.Integrate(
        wiring, Tensor(leak), Tensor(theta), None, cfg.reset, cfg.surrogate, cfg.surrogate_width,
        cfg.reset_gradient)]


def _curve(step: golden.Curve, wiring: str, _net) -> list[Operation]:
    if step.kind == "sigmoid":
        return [ops.Table(wiring, "sigmoid", None, EMPTY)]
    value, made = wiring.split(" -> ")
    if step.kind == "identity" and value == made:
        return []
    return [ops.Curve(wiring, step.kind)]


def _mix(step: golden.Mix, wiring: str, _net) -> list[Operation]:
    ternary = isinstance(step, golden.TernaryMix)
    shift = None if ternary else Tensor(np.zeros(step.out_features))    # a row's scale, when fitted
    return [ops.Mix(wiring, real(step.weight), real(step.bias), shift,
                    step.factor if ternary else 0.0)]


STEPS: dict[type, Callable] = {
    Norm: _norm, DiagonalSSM: _states, golden.Fire: _fire, golden.Curve: _curve, golden.Mix: _mix,
    golden.TernaryMix: _mix, Integrate: _integrate,
    golden.Affine: lambda step, wiring, net: [ops.Scale(wiring, real(step.a), real(step.b))],
    golden.Ternary: lambda step, wiring, net: [
        ops.Ternary(wiring, Tensor(np.array(step.factor)))],
    golden.Heaviside: lambda step, wiring, net: [
        ops.Step(wiring, step.options[2], *step.options[:2])],
    golden.Mask: lambda step, wiring, net: [],      # a sequence ends with its last step
    golden.Dropout: lambda step, wiring, net: [],
    golden.Add: lambda step, wiring, net: [ops.Add(wiring)],
    golden.Product: lambda step, wiring, net: [ops.Product(wiring)],
    golden.Clamp: lambda step, wiring, net: [ops.Clamp(wiring)],
    golden.ClampInput: lambda step, wiring, net: [ops.Clamp(wiring)]}
WHY_NOT = {golden.Concat: "a second branch"}


def check(net) -> None:
    """Raise :class:`FoldError` for a step or an option that integers have not.

    State space models may still be dense, see ``quant.lower.diagonalise``.
    """
    cfg, forms = net.cfg, getattr(net.cfg, "sampling", FORMS[0])

    def refuse(name, value, allowed, also=""):
        raise FoldError(f"the network has {name} = {value}, but the hardware needs {allowed}; "
                        f"train one with that option{also}")

    if forms not in FORMS:
        refuse("sampling", forms, " or ".join(FORMS), ", or give one with --sampling")
    if cfg.pair and not cfg.features:
        raise FoldError("the network has pair = True and family = released, whose head sees every "
                        "neuron; the hardware needs family paper and its features")
    if cfg.family == "stream" and (cfg.neuron, cfg.mixer) not in STREAMS:
        raise FoldError(f"the network has neuron = {cfg.neuron} and mixer = {cfg.mixer}; of "
                        f"networks of family stream only heaviside with glu (Binary S4D) and gelu "
                        f"with gsu have an integer form")
    for k, step in net.steps():
        kind, where = type(step.op), "the network" if k is None else f"block {k} of the network"
        if kind is Norm and step.op.kind != "batch":
            refuse("norm", step.op.kind, "batch")
        if kind not in STEPS and kind is not DPLR:
            why = WHY_NOT.get(kind, f"steps of kind {kind.__name__}")
            raise FoldError(f"{where} has {why} ({kind.__name__}), which has no integer form yet; "
                            f"these have one: {', '.join(sorted(k.__name__ for k in STEPS))}")


def operations(block, net) -> list[Operation]:
    """The operations of a golden block that :func:`check` lets pass."""
    found, renamed = [], {}
    for step in block.steps:
        kind = type(step.op)
        reads = " ".join(renamed.get(name, name) for name in step.reads)
        if kind in (golden.Mask, golden.Dropout):       # another name for the same value
            renamed[step.makes[0]] = reads
            continue
        renamed.pop(step.makes[0], None)
        found += STEPS[kind](step.op, f"{reads} -> {step.makes[0]}", net)
    return found
