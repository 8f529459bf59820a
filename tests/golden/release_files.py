"""Checkpoints and fixtures as the released code would have made them, of any form."""

import numpy as np

from golden.released import reference as released_reference
from golden.model.dplr import hippo_legs


def norm(rng, H: int, batch: bool) -> dict[str, np.ndarray]:
    made = {"weight": rng.uniform(0.3, 0.6, H), "bias": rng.uniform(0.2, 0.5, H)}
    if batch:
        made |= {"running_mean": rng.normal(0.3, 0.2, H), "running_var": rng.uniform(0.2, 1, H),
                 "num_batches_tracked": np.array(7)}
    return {f"norm.norm.{name}": value for name, value in made.items()}


def ssm(rng, H: int, n: int, sides: int, rows: int, length: int, perturb: float
        ) -> dict[str, np.ndarray]:
    L, P, B = (np.stack([z.numpy()] * rows) for z in hippo_legs(n))
    P, B = (z + perturb * rng.normal(size=(rows, n)) for z in (P, B))
    dt = np.exp(rng.uniform(np.log(0.01), np.log(0.3), (H, 1)))

    def pair(z):
        return np.stack([z.real, z.imag], -1)

    return {"D": rng.normal(size=(1, H)), "kernel.inv_dt": np.log(np.expm1(dt)),
            "kernel.C": rng.normal(size=(sides, H, n, 2)), "kernel.B": pair(B)[None],
            "kernel.P": pair(P)[None], "kernel.A_real": np.log(-L.real) + perturb * rng.normal(
                size=(rows, n)), "kernel.A_imag": -L.imag, "kernel.l_kernel": np.array(length)}


def state(blocks: int = 2, H: int = 6, n: int = 2, sides: int = 1, rows: int = 1, length: int = 20,
          pre: bool = True, batch: bool = True, branch: bool = False, seed: int = 0,
          perturb: float = 0.1) -> dict[str, np.ndarray]:
    """A state dict with the released names; tensors that are allocated but unused are there."""
    rng = np.random.default_rng(seed)

    def linear(name, rows, columns):
        return {f"{name}.weight": rng.normal(size=(rows, columns)) * (2 / columns) ** 0.5,
                f"{name}.bias": rng.normal(size=rows) * 0.2}

    made = {}
    for k in range(blocks):
        block = {"inp_a": rng.uniform(0.5, 1.5, H), "inp_b": rng.normal(0, 0.2, H),
                 "inp2_a": rng.uniform(0.5, 1.5, H), "inp2_b": rng.normal(0, 0.2, H),
                 "out_a": rng.uniform(0.2, 0.6, H), "out_b": rng.uniform(0.1, 0.5, H)}
        for layer in ("layer", "reverse_layer")[:1 + branch]:
            block |= {f"{layer}.layer.{name}": value
                      for name, value in ssm(rng, H, n, sides, rows, length, perturb).items()}
            block |= linear(f"{layer}.output_linear.0", 2 * H, H)
        block |= (linear("bidirectional_linear", H, 2 * H)
                  | linear("bidirectional_linear1", H // 2, H)
                  | linear("bidirectional_linear2", H // 2, H) if branch
                  else linear("bidirectional_linear1", H, H))
        block |= norm(rng, H, batch)
        made |= {f"layers.{k}.{name}": value for name, value in block.items()}
    if pre:
        made |= norm(rng, H, batch)
    return {name: value if value.dtype.kind == "i" else value.astype(np.float32)
            for name, value in made.items()}


def fixture(made: dict[str, np.ndarray], residual: bool, B: int = 2, L: int = 20, seed: int = 1
            ) -> dict[str, np.ndarray]:
    """Everything a fixture file has, outputs by the plain forward pass."""
    rng = np.random.default_rng(seed)
    H = len(made["layers.0.inp_a"])
    blocks = len({name.split(".")[1] for name in made if name.startswith("layers.")})
    x, *u = rng.random((1 + 2 * blocks, B, L, H), dtype=np.float32)
    seen, y = released_reference.run(made, x, u, residual)
    return ({f"state.{name}": value for name, value in made.items()} | {"x": x, "y": y}
            | {f"u{i}": draw for i, draw in enumerate(u)}
            | {f"block{k}": np.float32(block["out"]) for k, block in enumerate(seen)})
