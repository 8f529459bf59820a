"""The Heaviside neuron, its surrogates and the GLU; Tern and the gated spiking unit."""

import math

import numpy as np
import pytest
import torch

from golden.model.columns import Columns
from golden.model.config import StreamConfig
from golden.model.block import Block
from golden.model.families import Stream
from golden.model.neurons import SURROGATES, heaviside, ternary
from golden.model.ops import Pass


def test_heaviside_at_and_around_zero():
    v = torch.tensor([-math.inf, -1e-30, -0.0, 0.0, 1e-30, 2.0])
    assert heaviside(v).tolist() == [0, 0, 1, 1, 1, 1]
    assert heaviside(v, fires_at_zero=False).tolist() == [0, 0, 0, 0, 1, 1]


AT_WIDTH = {"triangle": 0.0, "rectangle": 1.0, "sigmoid": 0.0707, "arctan": 0.0920}


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogate(name):
    """1 at 0, even, falling, as documented at the width; it scales with the width."""
    x = torch.arange(-300, 301, dtype=torch.float64) / 100
    for width in (1.0, 0.25):
        v = (x * width).requires_grad_()
        heaviside(v, name, width).backward(torch.full_like(v, 2.0))
        shape = v.grad / 2
        torch.testing.assert_close(shape, SURROGATES[name](x))
        torch.testing.assert_close(shape, shape.flip(0))
        assert shape[300] == 1 and (shape[300:].diff() <= 0).all() and (shape >= 0).all()
        assert SURROGATES[name](torch.ones(1)).item() == pytest.approx(AT_WIDTH[name], abs=1e-3)


def test_ternary_by_its_definition():
    z = np.random.default_rng(0).normal(size=(9, 40))
    z[:, 3] = 0
    z[0, 5] = 0.25 * abs(z[:, 5]).max()
    z[1:, 5] = np.where(abs(z[1:, 5]) == abs(z[:, 5]).max(), z[1:, 5], 0)   # at the threshold
    for factor in (0.25, 0.0, 0.15):
        got = ternary(torch.from_numpy(z), factor, dim=0).numpy()
        for t in range(z.shape[1]):
            limit = factor * max(abs(z[:, t]))
            expected = [0 if abs(v) <= limit else math.copysign(1, v) for v in z[:, t]]
            assert got[:, t].tolist() == expected
    assert not got[:, 3].any() and set(np.unique(got)) == {-1, 0, 1}
    assert ternary(torch.from_numpy(z), 0.25, dim=0)[0, 5] == 0


def test_ternary_of_a_matrix_has_one_threshold_and_passes_the_gradient():
    w = torch.tensor([[0.1, -0.2], [1.0, -0.16]], requires_grad=True)
    out = ternary(w, 0.15)
    assert out.tolist() == [[0, -1], [1, -1]]
    out.backward(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert w.grad.tolist() == [[1, 2], [3, 4]]


def mixer(kind, **options) -> Block:
    """The steps from the SSM's output y to z."""
    torch.manual_seed(2)
    return Block(Stream.mixing(StreamConfig(
        n_classes=2, d_model=5, mixer=kind, neuron="heaviside" if kind == "glu" else "gelu",
        **options))).double()


def run(unit: Block, values: dict) -> dict:
    """All values once the steps behind the neuron have run."""
    columns = Columns(torch.zeros(1, 30), None, (30, 1))
    for step in unit.steps[1:]:
        step.run(values, Pass(columns, torch.float64, torch.float64, None))
    return values


def test_glu_step_by_step():
    unit = mixer("glu")
    y = (torch.rand(5, 30) > 0.6).double()
    out = run(unit, {"s_out": y})["z"]
    for t in range(30):
        fired = [i for i in range(5) if y[i, t]]
        n = unit.value.weight[:, fired].sum(1) + unit.value.bias
        m = unit.gate.weight[:, fired].sum(1) + unit.gate.bias
        torch.testing.assert_close(out[:, t], n / (1 + torch.exp(-m)))


@pytest.mark.parametrize("factor", [0.15, 0.5])
def test_gsu_step_by_step(factor):
    """Both products by additions alone: one operand of each is -1, 0 or 1."""
    unit = mixer("gsu", ternary_threshold=factor)
    y = torch.randn(5, 30, dtype=torch.float64)
    values = run(unit, {"a": y})
    out, events = values["z"], values["s_out"]
    w2 = unit.gate.weight
    for t in range(30):
        n, m = unit.value.bias.clone(), unit.gate.bias.clone()
        for j in range(5):
            if abs(y[j, t]) > factor * abs(y[:, t]).max():
                n += unit.value.weight[:, j] if y[j, t] > 0 else -unit.value.weight[:, j]
                assert events[j, t] == y[j, t].sign()
            else:
                assert events[j, t] == 0
            for i in range(5):
                if abs(w2[i, j]) > factor * abs(w2).max():
                    m[i] += y[j, t] if w2[i, j] > 0 else -y[j, t]
        torch.testing.assert_close(out[:, t], n * m)
    out.sum().backward()
    assert all(p.grad.any() for p in unit.parameters())
