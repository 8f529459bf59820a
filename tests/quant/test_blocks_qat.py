"""Two steps per update of the states in the quantisation-aware model, and what the export makes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden.model.columns import Columns
from quant.formats import QuantConfig
from quant.integer import reference
from quant.integer.memory import States
from quant.integer.operation import ArtifactError, Tensor
from quant.integer.synthetic import random_artifact
from quant.tune.blocks import in_blocks
from quant.tune.convert import to_artifact, to_program, without_formats
from quant.tune.draws import LfsrDraws
from quant.tune.qat import Now, QuantNetwork
from tests.quant import stream
from tests.quant.test_qat import as_model, assert_equals_reference
from tests.quant.test_qat_forms import assert_learns
from tests.quant.toy import content, place_of, op_at, with_op
from tests.quant.two_sided import random_two_sided

CASES = [{}, {"stress": 0.3, "residual": "plain"}, {"rounding": "half_even", "n": 1},
         {"sampling": "sobol"}, {"sampling": "systematic", "residual": "none"}, {"vocab": 6},
         {"kind": "glu", "stress": 0.2}, {"kind": "gsu", "rounding": "half_even"},
         {"kind": "lif", "stress": 0.2}, {"kind": "lif", "n": 0}]


def symmetric(art):
    """Without a weight at the lowest code, which Brevitas does not use."""
    def at_least(t):
        return Tensor(np.maximum(t.raw, -t.fmt.hi), t.fmt) if t.fmt.signed else t

    made = art.on_tensors(lambda place, name, t: at_least(t) if name in ("w", "a") else t)
    return replace(made, decoder_w=at_least(art.decoder_w)).check()


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("L", [1, 2, 23])
def test_the_recurrence_equals_the_reference(options, L):
    art = symmetric(random_artifact(3, **{"H": 6, "n": 3, "length": 23, "block": 2} | options))
    values = np.random.default_rng(L).integers(0, art.vocab or art.sample.hi + 1, L)
    assert_equals_reference(as_model(art), art, values)


@pytest.mark.parametrize("kind", ["paper", "glu", "lif"])
def test_sequences_of_other_lengths_beside_it(kind):
    art = random_artifact(2, kind=kind, block=2, length=20)
    net, lengths = as_model(art), torch.tensor([20, 5, 17, 1])
    raw = np.random.default_rng(0).integers(0, 256, (4, 20))
    v = torch.from_numpy(raw).double() * 2.0 ** -art.sample.f_bits
    with torch.no_grad():
        mean = net(v, lengths, "recurrence", LfsrDraws(art)).numpy()
    one = 2.0 ** art.decoder_b.fmt.f_bits
    for row, values, L in zip(mean, raw, lengths.tolist()):
        want = reference.execute(art, values[:L]).logits
        np.testing.assert_allclose(row * L * one, want, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", ["paper", "glu", "gsu", "lif"])
def test_round_trip(kind):
    """Integers, real numbers, integers: a2, g1 and d1 stay, also those that do not follow."""
    art = random_artifact(2, kind=kind, block=2, length=20, stress=0.3 * (kind != "gsu"))
    one = to_artifact(as_model(art), "toy", 20, art.seed, {})
    assert one.block == 2
    for j in range(len(art.blocks)):
        ops = [op_at(each, place_of(each, j, States)) for each in (art, one)]
        for name in States.OF_BLOCK:
            np.testing.assert_array_equal(*(op.tensors[name].raw for op in ops), name)
    two = to_artifact(as_model(one), "toy", 20, art.seed, {})
    np.testing.assert_equal(content(two), content(one))


def test_in_real_numbers_it_is_the_network_of_one_step():
    """A block of steps without rounding, on the same inputs, to 1e-12; and back."""
    one = without_formats(to_program(random_artifact(seed=2, H=6, n=3)))
    two = in_blocks(one, 2)
    s = torch.randint(0, 2, (6, 71, 5)).double()
    now = Now("recurrence", Columns(torch.zeros(5, 71), None, (71, 1)), None, None, "", None, False)
    for blocks in zip(QuantNetwork(one).blocks, QuantNetwork(two).blocks):
        states = [next(m for m in block if isinstance(m.op, States)) for block in blocks]
        assert [m.op.block for m in states] == [1, 2]
        torch.testing.assert_close(*(m.forward(s.reshape(6, -1), now) for m in states), rtol=0,
                                   atol=1e-12)
    np.testing.assert_equal(vars(in_blocks(two, 1)), vars(one))


@pytest.mark.parametrize("form", ["convolution", "recurrence"])
def test_every_parameter_learns(form):
    art = random_artifact(seed=4, H=8, n=2, block=2)
    draws = LfsrDraws(art, 5) if form == "recurrence" else None
    assert_learns(as_model(art), torch.rand(2, 31, dtype=torch.float64), form=form, draws=draws)


@pytest.mark.parametrize("kind", stream.KINDS)
def test_formats_of_a_block(kind):
    """Fitted: g holds g1 too, d1 has a format of its own; the reference runs."""
    net, _ = stream.quantised(stream.network(kind), QuantConfig(block=2))
    art = to_artifact(net, "toy", 20, 5, {})
    assert art.block == 2
    op = op_at(art, place_of(art, 0, States))
    A, g = op.a_re.real + 1j * op.a_im.real, op.g_re.real + 1j * op.g_im.real
    g1 = op.g1_re.real + 1j * op.g1_im.real
    lsb = 2.0 ** -op.g_re.fmt.f_bits
    assert abs(A * g - g1).max() < 4 * lsb
    assert abs(op.a2_re.real + 1j * op.a2_im.real - A * A).max() < 4 * 2.0 ** -op.a_re.fmt.f_bits
    top = 1 << art.sample.f_bits if art.sample else art.vocab
    assert_equals_reference(as_model(art), art, np.arange(19) * 7 % top)


def test_refusals():
    two_sided = without_formats(to_program(random_two_sided(1)))
    with pytest.raises(ArtifactError, match=r"layer 0, Future \(s_in -> future\): a network that "
                                            r"goes backwards in time has one .* leave --block 2"):
        in_blocks(two_sided, 2)
    program = to_program(random_artifact(1, H=3, n=2))
    place = place_of(program, 0, States)
    op = op_at(program, place)
    most = op.g_re.fmt.hi * 2.0 ** -op.g_re.fmt.f_bits
    big = {name: replace(op.tensors[name], raw=np.full((3, 2), most)) for name in ("g_re", "g_im")}
    turned = {"a_re": replace(op.a_re, raw=np.full((3, 2), 0.69)),
              "a_im": replace(op.a_im, raw=np.full((3, 2), 0.69))}
    with pytest.raises(ArtifactError, match=r"layer 0, .*, g1_im: 6 of 6 values leave SQ\(2,14\)"):
        in_blocks(with_op(program, place, **big, **turned), 2)
