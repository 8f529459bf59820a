"""The released code's forward pass written out: float64, one step at a time, nothing shared.

It reads a state dict with the released names and does what the released code does with dense
matrices and loops, without any of this project's modules, so that a network made of them can be
compared with it. Slow: for fixtures and tests.
"""

import math

import numpy as np

_erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def ssm(state: dict[str, np.ndarray], prefix: str, s: np.ndarray) -> np.ndarray:
    """S4 layer on spikes s (B, L, H): dense recurrence of the un-folded system, and the D skip.

    ``prefix`` ends in ``layer.layer.``; the kernel is two-sided if it has two C.
    """
    def get(name):
        value = state[prefix + name]
        return value.astype(np.float64) if value.dtype.kind == "f" else value

    def complex_of(name):
        value = get(name)
        return value[..., 0] + 1j * value[..., 1]

    A_real, A_imag = get("kernel.A_real"), get("kernel.A_imag")
    half = -np.exp(A_real) - 1j * A_imag                                # (rows, n)
    B_half, P_half, C = complex_of("kernel.B")[0], complex_of("kernel.P"), complex_of("kernel.C")
    dt = np.logaddexp(0, get("kernel.inv_dt")[:, 0])                    # softplus
    length = int(get("kernel.l_kernel"))
    D = get("D")[0]
    batch, steps, H = s.shape
    y = D * s
    for h in range(H):
        row = h % len(half)
        b = np.concatenate([B_half[row], B_half[row].conj()])
        A = np.diag(np.concatenate([half[row], half[row].conj()]))
        for P in P_half:                                                # rank one in every release
            p = np.concatenate([P[row], P[row].conj()])
            A = A - np.outer(p, p.conj())
        eye = np.eye(len(A))
        A_bar = np.linalg.solve(eye - dt[h] / 2 * A, eye + dt[h] / 2 * A)
        B_bar = np.linalg.solve(eye - dt[h] / 2 * A, dt[h] * b)
        for side, folded in enumerate(C[:, h]):
            c = np.concatenate([folded, folded.conj()])
            if length:
                c = np.linalg.solve((eye - np.linalg.matrix_power(A_bar, length)).T, c)
            state_h = np.zeros((batch, len(A)), complex)
            for t in range(steps) if side == 0 else range(steps - 1, -1, -1):
                if side == 1:                                           # the future, one step later
                    y[:, t, h] += (state_h @ c).real
                state_h = state_h @ A_bar.T + s[:, t, h, None] * B_bar
                if side == 0:
                    y[:, t, h] += (state_h @ c).real
    return y


def norm(state: dict[str, np.ndarray], prefix: str, x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """Batch norm with stored statistics, or layer norm where there are none."""
    weight, bias = (state[prefix + name].astype(np.float64) for name in ("weight", "bias"))
    if prefix + "running_mean" in state:
        mean, var = (state[prefix + name].astype(np.float64)
                     for name in ("running_mean", "running_var"))
    else:
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * weight + bias


def block(state: dict[str, np.ndarray], number: int, x: np.ndarray, u1: np.ndarray, u2: np.ndarray,
          residual: bool) -> dict[str, np.ndarray]:
    """One block on x (B, L, H) with its draws: ``q_in`` > u1 gives ``s_in``, and so on to ``out``.

    ``q_in`` and ``q_out`` are the probabilities that the samplers compare, un-clamped. A branch
    adds the same four names with a 2.
    """
    head = f"layers.{number}."

    def get(name):
        return state[head + name].astype(np.float64)

    prenorm = "norm.norm.weight" in state
    branch = head + "bidirectional_linear.weight" in state
    q_in = get("inp_a") * x + get("inp_b")
    if prenorm:
        q_in = norm(state, head + "norm.norm.", q_in)
    s_in = (q_in > u1).astype(np.float64)
    q_out = get("out_a") * gelu(ssm(state, head + "layer.layer.", s_in)) + get("out_b")
    if branch:
        q_in2 = get("inp2_a") * x + get("inp2_b")
        s_in2 = (q_in2 > u2).astype(np.float64)
        q_out2 = gelu(ssm(state, head + "reverse_layer.layer.", s_in2))
        s_out, s_out2 = ((q > u1).astype(np.float64) for q in (q_out, q_out2))
        spikes, linear = np.concatenate([s_out, s_out2], -1), "bidirectional_linear"
        more = {"q_in2": q_in2, "s_in2": s_in2, "q_out2": q_out2, "s_out2": s_out2}
    else:
        s_out = spikes = (q_out > u2).astype(np.float64)
        linear, more = "bidirectional_linear1", {}
    out = gelu(spikes @ get(linear + ".weight").T + get(linear + ".bias"))
    if residual:
        out = x + out
    if not prenorm:
        out = norm(state, head + "norm.norm.", out)
    return {"q_in": q_in, "s_in": s_in, "q_out": q_out, "s_out": s_out, "out": out} | more


def run(state: dict[str, np.ndarray], x: np.ndarray, u: list[np.ndarray], residual: bool
        ) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
    """All blocks on x (B, L, H), u two draws per block; :func:`block`'s answers and the output."""
    x, blocks = x.astype(np.float64), []
    for number in range(len(u) // 2):
        blocks.append(block(state, number, x, *u[2 * number:2 * number + 2], residual))
        x = blocks[-1]["out"]
    return blocks, norm(state, "norm.norm.", x) if "norm.norm.weight" in state else x
