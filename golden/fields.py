"""What the keys of a checkpoint hold: types, places and numbers; and what foreign files get told.

Everything here raises :class:`golden.stored.StoredError`, without the file's path.
"""

import torch

from golden.base import cli
from golden.model.config import NetworkConfig
from golden.stored import SEAL, StoredError, described, named, place

REQUIRED = ("network", "task", "permutation", "state")
RESUME = ("recipe", "optimiser", "schedule", "rng", "epoch", "val_accuracy")
NUMBER, NONE = (int, float), type(None)
TYPES = {"network": dict, "task": str, "permutation": (str, NONE), "state": dict, "info": dict,
         "recipe": dict, "optimiser": dict, "schedule": dict, "rng": torch.Tensor, "epoch": int,
         "val_accuracy": (*NUMBER, NONE), "part": dict}
INFO = {"train_sequences": int, "epoch": int, "val_accuracy": (*NUMBER, NONE), "recipe": dict,
        "note": str, "imported": str, "start_values": list, "diagonal": list}
PLAIN = ("network", "info", "recipe", "schedule", "part")       # without tensors
NAME = 200              # characters of a task's or a permutation's name
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module")      # of DDP, torch.compile and FSDP
LARGEST = 1e9           # of a number: three of them multiplied are still finite in float32
LARGEST_LOG = 80        # of one whose exponential is taken: e**88 is the last finite one
LONGEST = 1 << 17       # of a whole number: steps that a kernel is folded for
MAKE = ("make the network and write it here: net = golden.model.network.Network(golden.model.config"
        ".PaperConfig(...)); net.load_state_dict(...); golden.checkpoint.save(NEW, net, "
        "golden.tasks.make_task(TASK), {}) (docs/training.md, \"Files of your own\")")


def complete(content: object) -> None:
    """Whether it has the keys of a checkpoint."""
    none = "this is not a checkpoint of this project"
    if not isinstance(content, dict):
        raise StoredError(f"{none}: it holds {named(content)}, not a dict")
    missing = [key for key in REQUIRED if key not in content]
    if len(missing) == len(REQUIRED) and _state_dict(content):
        raise StoredError(f"{none}: it holds tensors by name, but not what network they are of; "
                          f"{MAKE}")
    if missing:
        raise StoredError(f"{none}: it lacks {', '.join(missing)}")
    unknown = [str(key)[:NAME] if isinstance(key, str) else named(key)
               for key in set(content) - set(TYPES) - {SEAL}]
    if unknown:
        raise StoredError(f"unknown key {', '.join(sorted(unknown)[:3])}; it may come from a newer "
                          f"version")


def _state_dict(content: dict) -> bool:
    """Whether tensors by name are at the top, or in a dict that is there."""
    return any(isinstance(value, torch.Tensor) for part in (content, *(
        each for each in content.values() if isinstance(each, dict))) for value in part.values())


def check(content: dict) -> None:
    """Whether every key holds what it should."""
    typed(content, TYPES)
    typed(content.get("info", {}), INFO, "info")
    for k, part in enumerate(content.get("info", {}).get("start_values", [])):
        _typed(part, str, ["info", "start_values", k])
    for key in PLAIN:
        for where, kind, value in described(content.get(key), [key]):
            if kind == "tensor":
                raise StoredError(f"{place(where)} is a tensor; plain numbers and texts are "
                                  f"allowed there")
    for key in ("task", "permutation"):
        name = content[key]
        if name is not None and (len(name) > NAME or not name.isprintable()):
            raise StoredError(f"{key} is no name: {name[:40]!r}")


def typed(content: dict, types: dict, *where: str) -> None:
    """Whether values have their types, those of ``state`` being tensors by name."""
    for key, value in content.items():
        if key in types:
            _typed(value, types[key], [*where, key])
    for name, tensor in content.get("state", {}).items() if not where else ():
        _typed(name, str, ["the name of a tensor"])
        _typed(tensor, torch.Tensor, ["state", name])


def _typed(value: object, kind: type | tuple, where: list) -> None:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or isinstance(value, bool):
        words = {dict: "a dict", str: "a text", int: "a whole number", float: "a number",
                 list: "a list", torch.Tensor: "a plain tensor", NONE: "None"}
        raise StoredError(f"{place(where)} must be {' or '.join(words[k] for k in kinds)}, it is "
                          f"{named(value)}")


def claims(config: NetworkConfig, state: dict) -> None:
    """Whether a file can hold a network at all, before one is made: a number for each neuron."""
    neurons, stored = config.n_blocks * config.d_model, sum(t.numel() for t in state.values())
    if neurons > stored:
        raise StoredError(f"the configuration says {config.n_blocks:,} blocks of "
                          f"{config.d_model:,} neurons, the file holds {stored:,} numbers")


def bare(state: dict, own: dict) -> dict:
    """Tensors without what wrappers of PyTorch put into their names, ``module.`` for example."""
    if set(state) <= set(own):
        return state
    found = {".".join(part for part in name.split(".") if part not in WRAPPERS): tensor
             for name, tensor in state.items()}
    if len(found) != len(state):
        raise StoredError(f"two tensors have one name without {', '.join(WRAPPERS)}")
    return found


def fit(state: dict, own: dict[str, torch.Tensor], says: str = "the configuration says",
        widened: bool = False) -> None:
    """Whether tensors have the names, shapes and types of ``own``, and numbers in range.

    Each must be of its own's type, as a conversion would change numbers; ``widened``: or float32
    where that is float64, which holds it exactly. ``says`` stands before a shape in messages.
    """
    different = cli.differing(own, map(str, state))
    if different:
        raise StoredError(f"the tensors do not fit the configuration: {different}")
    for name, mine in own.items():
        tensor = state[name]
        if tensor.shape != mine.shape:
            raise StoredError(f"{name} has shape {tuple(tensor.shape)}, {says} "
                              f"{tuple(mine.shape)}")
        exact = widened and (tensor.dtype, mine.dtype) == (torch.float32, torch.float64)
        if tensor.dtype != mine.dtype and not exact:
            raise StoredError(f"{name} is of type {tensor.dtype}, the network's is {mine.dtype}: "
                              f"convert it (x.to({mine.dtype})) and see that the network still "
                              f"does what it did")
        _in_range(name, tensor)


def _in_range(name: str, tensor: torch.Tensor) -> None:
    """Whether a tensor's numbers are some that a network can have."""
    if not tensor.numel():
        return
    if not tensor.is_floating_point():
        low, high = 0, LONGEST
    else:
        if not torch.isfinite(tensor).all():
            raise StoredError(f"{name} contains values that are not finite")
        low = 0 if name.endswith(".var") else -LARGEST
        high = LARGEST_LOG if name.split(".")[-1].startswith("log_") else LARGEST
    least, most = tensor.min().item(), tensor.max().item()
    if not low <= least <= most <= high:
        raise StoredError(f"{name} has numbers from {least:g} to {most:g}, from {low:g} to "
                          f"{high:g} are allowed")
