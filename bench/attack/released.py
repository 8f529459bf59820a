"""Checkpoints of the released P-SpikeSSM code, as ``golden.import_release`` reads them.

They have no checksum of their own: a whole file with another number is another network. What the
zip file's own checksums tell is damage.
"""

from pathlib import Path

import numpy as np
import torch

from bench.attack import arrays, edits, tensors
from bench.attack.edits import Rng
from bench.attack.target import Harm, Target
from golden import import_release
from golden.model.dplr import hippo_legs
from golden.released.build import network
from golden.released.state import read
from golden.tasks import make_task

FILE = "released.ckpt"
H, MODES, BLOCKS = 4, 2, 2


def _ssm(rng: Rng) -> dict[str, np.ndarray]:
    A, P, B = (z.numpy()[None] for z in hippo_legs(MODES))

    def pair(z):
        return np.stack([z.real, z.imag], -1)
    return {"D": rng.normal(size=(1, H)), "kernel.inv_dt": rng.uniform(-4, -2, (H, 1)),
            "kernel.C": rng.normal(size=(1, H, MODES, 2)), "kernel.B": pair(B)[None],
            "kernel.P": pair(P)[None], "kernel.A_real": np.log(-A.real), "kernel.A_imag": -A.imag,
            "kernel.l_kernel": np.array(20)}


def _norm(rng: Rng) -> dict[str, np.ndarray]:
    return {"norm.norm.weight": rng.uniform(0.3, 0.6, H), "norm.norm.bias": rng.normal(size=H),
            "norm.norm.running_mean": rng.normal(size=H),
            "norm.norm.running_var": rng.uniform(0.2, 1, H),
            "norm.norm.num_batches_tracked": np.array(7)}


def state(branch: bool) -> dict[str, np.ndarray]:
    """A state dict with the released names, of random tensors, with encoder and decoder."""
    rng, made = np.random.default_rng(branch), {}
    for k in range(BLOCKS):
        block = {f"{scale}_{x}": rng.uniform(0.2, 1, H) for scale in ("inp", "inp2", "out")
                 for x in "ab"} | _norm(rng)
        for layer in ("layer", "reverse_layer")[:1 + branch]:
            block |= {f"{layer}.layer.{name}": value for name, value in _ssm(rng).items()}
        mixer, columns = ("bidirectional_linear", 2 * H) if branch else ("bidirectional_linear1", H)
        block |= {f"{mixer}.weight": rng.normal(size=(H, columns)),
                  f"{mixer}.bias": rng.normal(size=H)}
        made |= {f"layers.{k}.{name}": value for name, value in block.items()}
    made |= _norm(rng) | {
        "encoder.weight": rng.normal(size=(H, 1)), "encoder.bias": rng.normal(size=H),
        "decoder.output_transform.weight": rng.normal(size=(10, H)),
        "decoder.output_transform.bias": rng.normal(size=10)}
    return {name: value if value.dtype.kind == "i" else value.astype(np.float32)
            for name, value in made.items()}


def torch_file(branch: bool) -> bytes:
    """A state dict inside the dict of a training."""
    content = {name: torch.from_numpy(value) for name, value in state(branch).items()}
    return tensors.saved({"epoch": 3, "state_dict": content})


def imported(folder: Path) -> dict:
    """What the command does with a file."""
    found = read(folder / FILE)
    net = network(found, "none", make_task("digits"))
    return {"config": net.cfg, "state": tensors.plain(net.state_dict()),
            "conditions": import_release.conditions(net)}


def _of_npz(rng: Rng, raw: bytes) -> tuple[bytes, Harm]:
    if rng.random() < 0.5:
        new, words = edits.of_bytes(rng, raw)
        return new, Harm(words)
    new, words = arrays.of_npz(rng, raw)
    return new, Harm(words, free=True)


def _target(name: str, content: bytes, change) -> Target:
    def harm(rng: Rng, folder: Path) -> Harm:
        new, harm = change(rng, (folder / FILE).read_bytes())
        (folder / FILE).write_bytes(new)
        return harm
    return Target(f"released ({name})", lambda folder: (folder / FILE).write_bytes(content), harm,
                  imported)


def _of_torch(rng: Rng, raw: bytes) -> tuple[bytes, Harm]:
    return tensors.of_file(rng, raw, free=True)


def targets() -> list[Target]:
    torch.set_num_threads(1)
    npz = arrays.packed({f"state.{name}": value for name, value in state(False).items()})
    return [_target("torch", torch_file(False), _of_torch),
            _target("torch, with a branch", torch_file(True), _of_torch),
            _target("npz", npz, _of_npz)]
