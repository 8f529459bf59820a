"""The resumable part of a training's file: whether it is one of this training, number by number.

Everything here raises :class:`golden.stored.StoredError`, without the file's path. What follows
from the recipe (the optimiser's options, the rates) is not taken from the file.
"""

import math

import torch

from golden.stored import StoredError, named

MOMENTS = ("step", "exp_avg", "exp_avg_sq")     # of Adam and AdamW, of each parameter
GENERATORS = {5056: "a CPU", 16: "a GPU"}       # bytes of a random state, and whose it is
TOLERANCE = 1e-6        # relative, of a rate: on a GPU they are float32


def moments(stored: dict, opt: torch.optim.Optimizer) -> dict:
    """The state of Adam or AdamW for ``load_state_dict``, with the options that ``opt`` has.

    Rates are the file's. A parameter that was never used has no moments.
    """
    own = opt.state_dict()["param_groups"]
    groups, state = stored.get("param_groups"), stored.get("state")
    if not isinstance(state, dict) or not isinstance(groups, list) or [
            g.get("params") if isinstance(g, dict) else None for g in groups] != [
            g["params"] for g in own]:
        raise StoredError("its optimiser is of other parameters than this network's")
    parameters = [p for group in opt.param_groups for p in group["params"]]
    for k, values in state.items():
        if type(k) is not int or not 0 <= k < len(parameters) or not isinstance(values, dict):
            raise StoredError(f"its optimiser has a state {str(k)[:40]!r} of no parameter")
        if set(values) != set(MOMENTS):
            raise StoredError(f"its optimiser must have {', '.join(MOMENTS)} of parameter {k}")
        for name, t in values.items():
            _moment(f"{name} of parameter {k}", name, t, parameters[k])
    return {"state": state, "param_groups": [
        mine | {"lr": _number(f"the rate of group {j}", group.get("lr"))}
        for j, (mine, group) in enumerate(zip(own, groups))]}


def _moment(what: str, name: str, t: object, p: torch.Tensor) -> None:
    shape, dtype = (p.shape, p.dtype) if name != "step" else ((), torch.float32)
    if not isinstance(t, torch.Tensor) or t.shape != shape or t.dtype != dtype:
        raise StoredError(f"its optimiser's {what} must be a tensor of shape {tuple(shape)} and "
                          f"type {dtype}, it is {named(t)}"
                          + (f" of shape {tuple(t.shape)}" if isinstance(t, torch.Tensor) else ""))
    if not torch.isfinite(t).all() or name != "exp_avg" and (t < 0).any():
        raise StoredError(f"its optimiser's {what} has numbers that are not finite, or below 0")


def _number(what: str, value: object, most: float = math.inf) -> float:
    if type(value) not in (int, float) or not 0 <= value < math.inf or value > most:
        raise StoredError(f"{what} must be a number from 0 to {most:g}, it is "
                          f"{value if type(value) in (int, float) else named(value)}")
    return value


def _whole(what: str, value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise StoredError(f"{what} must be a whole number from 0 to {most}, it is "
                          f"{value if type(value) is int else named(value)}")
    return value


def generator_state(stored: object, generator: torch.Generator) -> None:
    """Take up a random state; that of another kind of device is left, and said.

    The draws then begin anew: the training is no worse, but not the same to the last bit.
    """
    size = stored.numel() if isinstance(stored, torch.Tensor) and stored.ndim == 1 and (
        stored.dtype == torch.uint8) else 0
    own = generator.get_state()
    if size not in GENERATORS:
        raise StoredError(f"its random state rng must be a tensor of "
                          f"{' or '.join(map(str, GENERATORS))} bytes, uint8; without it a resumed "
                          f"training would not be the same")
    if size != own.numel():
        print(f"the random state is that of {GENERATORS[size]}: draws begin anew, so the result is "
              f"not that of an uninterrupted training", flush=True)
        return
    try:
        generator.set_state(stored)
    except RuntimeError as error:
        raise StoredError(f"its random state rng is not one: {error}") from None


def part_of(content: dict, epochs: int, steps: int, start: dict) -> dict:
    """Where in which epoch the file is, as ``Run.part``, with the keys of ``start``."""
    _whole("epoch", content["epoch"], epochs)
    if content["val_accuracy"] is not None:
        _number("val_accuracy", content["val_accuracy"], 1)
    part = start | content.get("part", {})
    if set(part) != set(start):
        raise StoredError(f"part must have {', '.join(start)}")
    _whole("part['steps']", part["steps"], steps)
    if type(part["sums"]) is not list or len(part["sums"]) != len(start["sums"]):
        raise StoredError(f"part['sums'] must be {len(start['sums'])} numbers")
    for k, value in enumerate([*part["sums"], part["seconds"], part["cpu_seconds"]]):
        _number(f"part, number {k},", value)
    return part


def schedule(stored: dict, own: torch.optim.lr_scheduler.LambdaLR, done: int, rates: list) -> dict:
    """The schedule's state for ``load_state_dict``, after ``done`` steps.

    ``rates`` of the optimiser, and the schedule's own, must be those that it has there.
    """
    wanted = [base * rule(done) for base, rule in zip(own.base_lrs, own.lr_lambdas)]
    state, last = own.state_dict(), stored.get("_last_lr")
    if stored.get("last_epoch") != done or type(stored.get("_step_count")) is not int:
        raise StoredError(f"its schedule is not after {done} steps, as epoch and part say")
    for found in (last, rates):
        if type(found) is not list or len(found) != len(wanted) or any(
                type(rate) is not float or not math.isclose(rate, want, rel_tol=TOLERANCE,
                                                            abs_tol=1e-12)
                for rate, want in zip(found, wanted)):
            raise StoredError(f"its rates are not those of the recipe after {done} steps")
    return state | {key: stored[key] for key in ("last_epoch", "_step_count", "_last_lr")}
