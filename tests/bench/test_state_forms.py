"""The comparison of state updates: same system in every form, same arithmetic as the reference."""

from types import SimpleNamespace

import numpy as np
import pytest
from amaranth.sim import Simulator

from bench.delta_update import DeltaUpdate
from bench.state_forms import lanes_of
from bench.state_model import (FORMS, FRACTION, SHIFTS, exact, float_run, integer_run, integers,
                               kernel, mode_shift, noise, quantised)
from golden.base.qformat import SQ
from quant.formats import BIT, LayerFormats, RandomFormat
from quant.integer.memory import States, round_stochastic
from quant.integer.operation import Tensor

STEPS = 784


def modes(H=4, n=8, seed=1):
    """A_bar from the slowest to the fastest that training makes, g of order 1."""
    rng = np.random.default_rng(seed)
    dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), (H, 1)))
    A = np.exp(dt * (-0.5 + 1j * np.pi * np.arange(n)))
    return A, rng.normal(size=(H, n)) + 1j * rng.normal(size=(H, n))


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_the_same_system_in_float64(form):
    A, g = modes()
    direct = (g[..., None] * A[..., None] ** np.arange(STEPS)).real
    np.testing.assert_allclose(kernel(exact(form, A, g), STEPS), direct, atol=1e-12, rtol=0)
    spikes = (np.random.default_rng(2).random((2, STEPS, 4)) < 0.3).astype(np.uint8)
    system = exact(form, A, g)
    y, top = float_run(system.M, system.b, spikes)
    h, seen = np.zeros((2, 4, 8), complex), []
    for t in range(STEPS):
        h = A * h + g * spikes[:, t, :, None]
        seen.append(h.real)
    np.testing.assert_allclose(y, np.stack(seen, 1), atol=1e-10, rtol=0)
    assert top[0] == abs(y).max()


def test_word_w2_stays_near_w1_with_a_shift_per_mode():
    A, g = modes(64)
    assert set(np.unique(mode_shift(A))) == set(SHIFTS)
    assert (2.0 ** mode_shift(A) * abs(1 - A) <= 2).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", (14, 18))
def test_quantised_systems_are_stable_and_get_better_with_width(form, width):
    A, g = modes(64)
    system = quantised(form, A, g, width)
    assert (abs(np.linalg.eigvals(system.M)) < 1).all()
    true, wider = kernel(exact(form, A, g), 64), kernel(quantised(form, A, g, width + 4), 64)
    assert 0 < abs(wider - true).mean() < abs(kernel(system, 64) - true).mean() / 4


@pytest.mark.parametrize("rounding", ("stochastic", "half_even"))
def test_integer_run_is_the_reference(rounding):
    """State of the coupled form after every step, through errors against an expected y."""
    A, g = modes(1, 4)
    fmt, random = LayerFormats(h=SQ(3, 5), drive=SQ(3, 5), g=SQ(4, 15)), RandomFormat()
    system = quantised("coupled", A, g, 16)
    raw = integers(system, (fmt.h, fmt.h))
    spikes = (np.random.default_rng(3).random((1, 200, 1)) < 0.4).astype(np.uint8)
    a = system.M * 2 ** fmt.a_bar.f_bits
    b = (system.b * 2 ** fmt.g.f_bits).astype(np.int64)
    op = States("s -> y", *(Tensor(raw, q) for raw, q in (
        (a[..., 0, 0].astype(np.int64), fmt.a_bar), (a[..., 1, 0].astype(np.int64), fmt.a_bar),
        (b[..., 0], fmt.g), (b[..., 1], fmt.g), (np.zeros(1, int), fmt.drive))), fmt.h, rounding)
    h_re = h_im = np.zeros((1, 4), np.int64)
    y, saturations = np.zeros((1, 200, 1, 4)), 0
    for t in range(200):
        r = np.array([[int(noise(t * 4 + k)) & 0xFFFF for k in range(4)]])
        h_re, h_im, over = op.update(BIT, h_re, h_im, int(spikes[0, t, 0]), r, random)
        y[0, t], saturations = h_re * 2.0 ** -fmt.h.f_bits, saturations + over.sum()
    per_mode, per_neuron, over = integer_run(raw.M, raw.b, raw.f, raw.lo, raw.hi, spikes, y,
                                             rounding == "stochastic", FRACTION)
    assert not per_mode.any() and not per_neuron.any()
    assert over == saturations > 0


@pytest.mark.parametrize("form", [form for form in FORMS if form != "coupled"])
def test_delta_lane_computes_the_integer_recurrence(form):
    """One lane of hardware, with stalls, against exact integer arithmetic."""
    dut = lanes_of(form)()
    rng = np.random.default_rng(4)
    fields = {"w1": dut.fmt.h, "w2": dut.fmt.h, "c1": dut.coef, "c2": dut.coef, "b1": dut.fmt.g,
              "b2": dut.fmt.g}
    corners = [{name: (q.lo, q.hi)[bit >> j & 1] for j, (name, q) in enumerate(fields.items())}
               for bit in range(64)]
    inputs = corners + [{name: int(rng.integers(q.lo, q.hi + 1)) for name, q in fields.items()}
                        for _ in range(200)]
    for x in inputs:
        x |= {"s": int(rng.integers(2)), "m": int(rng.integers(len(dut.shifts))),
              "r": int(rng.integers(1 << 2 * dut.random.round_bits))}
    expected, got = [delta_reference(dut, SimpleNamespace(**x)) for x in inputs], []

    async def feed(ctx):
        for x in inputs:
            ctx.set(dut.i.payload, x)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
            if rng.integers(2):
                await ctx.tick()

    async def take(ctx):
        for cycle in range(20 * len(inputs)):
            ctx.set(dut.o.ready, cycle % 3 != 0)
            _, _, valid, ready, out = await ctx.tick().sample(dut.o.valid, dut.o.ready,
                                                              dut.o.payload)
            if valid and ready:
                got.append((out.w1, out.w2, out.over))
            if len(got) == len(inputs):
                return

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(feed)
    sim.add_testbench(take)
    sim.run()
    assert got == expected
    assert any(over for *_, over in got) and not all(over for *_, over in got)


def delta_reference(dut: DeltaUpdate, x) -> tuple[int, int, int]:
    """(w1, w2, over) by exact integers with ``top`` more fraction bits than the products have."""
    f, top, m = dut.coef.f_bits, max(dut.shifts), dut.shifts[x.m]
    align = f + top + dut.fmt.h.f_bits - dut.fmt.g.f_bits
    after = top - m if dut.balanced else top
    acc1 = ((x.w1 << f + top) + (x.c1 * x.w1 << after) + (x.w2 << f + top - m)
            + (x.b1 * x.s << align))
    acc2 = (x.w2 << f + top) + (x.c2 * x.w1 << after) + (x.b2 * x.s << align)
    bits, out, over = dut.random.round_bits, [], 0
    for k, acc in enumerate((acc1, acc2)):
        r = x.r >> k * bits & (1 << bits) - 1
        raw = round_stochastic(acc, f + top, r, bits)
        out.append(min(max(raw, dut.fmt.h.lo), dut.fmt.h.hi))
        over |= (raw != out[-1]) << k
    return (*out, over)
