"""Both forms of the quantisation-aware model: round trips, lengths, gradients, golden networks."""

import numpy as np
import pytest
import torch

from golden.model.columns import Columns
from golden.model.ssm import chunked_conv
from quant.integer.memory import States
from quant.integer.operation import Tensor
from quant.integer.ops import Mix
from quant.integer.sampling import FORMS
from quant.integer.synthetic import random_artifact
from quant.lower.passes import fold
from quant.tune.convert import to_artifact, to_program, without_formats
from quant.tune.draws import LfsrDraws
from quant.tune.qat import Now, QuantNetwork
from tests.quant import stream
from tests.quant.test_qat import as_model
from tests.quant.toy import content, with_op
from tests.quant.two_sided import random_two_sided

OPTIONS = [{}, {"norm_position": "post"}, {"residual": "none"}, {"vocab": 17},
           {"kernel": "two_sided", "norm_position": "post"}]


def folded(art):
    """The network in real numbers on no grid."""
    return without_formats(to_program(art))


def test_artifact_round_trip():
    """Model, artifact, model, artifact: nothing moves the second time."""
    one = to_artifact(as_model(random_artifact(seed=8, n_layers=3)), "synthetic", 64, 1, {})
    two = to_artifact(as_model(one), "synthetic", 64, 1, {})
    for (place, a, _), (_, b, _) in zip(one.operations(), two.operations(), strict=True):
        pairs = {name: (a.tensors[name].raw, b.tensors[name].raw) for name in a.tensors}
        if isinstance(a, Mix):                          # a row may find a finer scale
            (w, w2), (shift, shift2) = pairs.pop("w"), pairs.pop("shift")
            np.testing.assert_array_equal(w << shift[:, None], w2 << shift2[:, None], place)
        for name, pair in pairs.items():
            np.testing.assert_array_equal(*pair, f"{place}, {name}")
    np.testing.assert_array_equal(one.decoder_w.raw, two.decoder_w.raw)
    np.testing.assert_array_equal(one.decoder_b.raw, two.decoder_b.raw)


@pytest.mark.parametrize("kind", stream.KINDS)
def test_round_trip_of_a_stream(kind):
    """The integers' real numbers give the same integers, and the same network."""
    art = stream.artifact(kind)
    again = to_artifact(as_model(art), "toy", art.length, art.seed, {})
    np.testing.assert_equal(content(again), content(art))


def test_forms_agree_without_state_rounding():
    """Convolution and recurrence of one folded layer on the same spikes, in float64, to 1e-9."""
    net = QuantNetwork(folded(random_artifact(seed=2, H=6, n=3)))
    s = torch.randint(0, 2, (6, 72, 5)).double()                             # (H, L, B)
    now = Now("recurrence", Columns(torch.zeros(5, 72), None, (72, 1)), None, None, "", None, False)
    for block in net.blocks:
        states = next(module for module in block if isinstance(module.op, States))
        for C, M in ((72, 1), (12, 6), (1, 72)):
            chunks = s.reshape(6, M, C, 5).transpose(1, 2).contiguous()
            y = chunked_conv(chunks, *states.discrete()).transpose(1, 2).reshape(6, 72, 5)
            torch.testing.assert_close(y, states.recur(s, now).detach(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("make", [lambda: random_artifact(seed=2, length=40),
                                  lambda: stream.artifact("gsu"),
                                  lambda: random_two_sided(2, length=40)],
                         ids=["samplers", "gsu", "two_sided"])
def test_lengths_leave_out_the_rest(make):
    """A sequence's logits do not depend on what lies behind its end, in either form."""
    art = make()
    net, L = as_model(art), art.length
    top = 1 << art.sample.f_bits
    v = torch.randint(0, top, (3, L)).double() / top
    lengths = torch.tensor([L, 5, 17])
    noisy = torch.where(torch.arange(L) < lengths[:, None], v, torch.rand(3, L).double())
    draws = LfsrDraws(art)
    with torch.no_grad():
        one, two = (net(x, lengths, form="recurrence", draws=draws) for x in (v, noisy))
        alone = net(v[1:2, :5], form="recurrence", draws=draws)
        assert torch.equal(one, two) and torch.equal(one[1:2], alone)
        torch.manual_seed(1)
        one = net(v, lengths)
        torch.manual_seed(1)
        assert torch.equal(one, net(noisy, lengths))


def assert_learns(net, v, **form) -> None:
    net(v, **form).square().sum().backward()
    for name, p in net.named_parameters():
        if p.numel():
            assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any(), name


@pytest.mark.parametrize("sampling", FORMS)
@pytest.mark.parametrize("form", ["convolution", "recurrence"])
def test_every_parameter_learns(form, sampling):
    """Straight-through: a gradient reaches every trainable tensor."""
    art = random_artifact(seed=4, H=8, n=2, sampling=sampling)
    draws = LfsrDraws(art, 5) if form == "recurrence" else None
    assert_learns(as_model(art), torch.rand(2, 30, dtype=torch.float64), form=form, draws=draws)


@pytest.mark.parametrize("form", ["convolution", "recurrence"])
@pytest.mark.parametrize("kind", stream.KINDS)
def test_every_parameter_of_a_stream_learns(kind, form):
    net, _ = stream.quantised(stream.network(kind))
    draws = LfsrDraws(to_artifact(net, "toy", 20, 5, {})) if form == "recurrence" else None
    assert_learns(net.train(), torch.rand(4, 20).double(), form=form, draws=draws)


@pytest.mark.parametrize("sampling", FORMS)
def test_the_convolution_draws_in_the_artifacts_form(sampling):
    """One block whose p is 0.3 all the time: spikes per sequence scatter as the form lets them."""
    program = folded(random_artifact(seed=2, H=16, n_layers=1, sampling=sampling, residual="none"))
    program = with_op(program, "first.0", a=Tensor(np.zeros(16)), b=Tensor(np.full(16, 0.3)))
    record = []
    torch.manual_seed(0)
    with torch.no_grad():
        QuantNetwork(program).float()(torch.zeros(50, 60), record=record)
    counts = record[0]["s_in"].sum(1)                                       # (B, H)
    assert abs(counts.mean() - 18) < 0.5
    low, high = {"bernoulli": (3.2, 3.9), "sobol": (0.2, 1.5), "systematic": (0, 0.1)}[sampling]
    assert low <= counts.std() <= high


def test_unknown_form():
    net = as_model(random_artifact())
    with pytest.raises(ValueError, match="draws are for the recurrence"):
        net(torch.rand(1, 4, dtype=torch.float64), draws=LfsrDraws(random_artifact()))
    with pytest.raises(ValueError, match="convolution or recurrence, not 'fft'"):
        net(torch.rand(1, 4, dtype=torch.float64), form="fft")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", stream.KINDS)
def test_without_formats_a_stream_is_the_golden_network(kind, options):
    """That of a network of samplers is in ``test_fold``."""
    golden = stream.network(kind, **options).double()
    net = QuantNetwork(fold(golden))
    generator = torch.Generator().manual_seed(1)
    v = (torch.randint(0, 17, (3, 90), generator=generator) if golden.cfg.vocab
         else torch.rand(3, 90, generator=generator).double())
    lengths = torch.tensor([90, 1, 57])
    expected = golden(v, lengths)
    for form in ("convolution", "recurrence"):
        torch.testing.assert_close(net(v, lengths, form), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind, options", [
    ("gsu", {}), ("binary", {}), ("binary", {"surrogate": "rectangle", "surrogate_width": 0.4}),
    ("binary", {"surrogate": "arctan", "surrogate_width": 2.5}),
    ("binary", {"surrogate": "sigmoid", "fires_at_zero": False})], ids=str)
def test_gradients_are_the_golden_networks(kind, options):
    golden = stream.network(kind, **options).double()
    net = QuantNetwork(fold(golden))
    v = torch.rand(3, 40, generator=torch.Generator().manual_seed(2)).double()
    slopes = []
    for model in (golden, net):
        leaf = v.clone().requires_grad_()
        model(leaf).square().sum().backward()
        slopes.append(leaf.grad)
    assert slopes[0].any()
    torch.testing.assert_close(slopes[1], slopes[0], rtol=0, atol=1e-9)
