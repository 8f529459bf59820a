"""Networks with two inputs in integers: the head, its artifact, and every form of the network."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from golden.checkpoint import Checkpoint
from golden.model.config import PaperConfig, ReleasedConfig
from golden.model.network import Network
from golden.base.qformat import SQ, FormatError
from quant import evaluate, export, prepare
from quant.formats import QuantConfig
from quant.integer import artifact, head, reference, vectors
from quant.integer.artifact import ArtifactError
from quant.integer.network import IntegerNetwork
from quant.integer.synthetic import LIMITS, random_artifact
from quant.lower.passes import FoldError, fold
from quant.tune import ranges
from quant.tune.convert import to_artifact, to_program, without_formats
from quant.tune.draws import LfsrDraws
from quant.tune.fit import ExportError
from quant.tune.qat import QuantNetwork
from quant.tuned import _formatted, formats_of
from tests.sim.task import TinyPair

ART = random_artifact(seed=3, H=6, n=2, n_classes=3, length=12, features=4)
CASES = {"usual": {}, "stress": {"stress": 0.3}, "one": {"features": 1, "n_classes": 1},
         "plain": {"residual": "plain"}, "systematic": {"sampling": "systematic"},
         **{which: {"limits": which} for which in LIMITS}}


def made(**options):
    return random_artifact(**{"seed": 4, "H": 6, "n": 2, "n_classes": 3, "length": 24,
                              "features": 4} | options)


def exactly(art, f_a, L_a, f_b, L_b) -> tuple[list[int], list[int]]:
    """(logits, saturations) of one pair, number by number; a Fraction's round is half to even."""
    fmt, F = art.head.fmt, len(f_a)
    over = [0, 0]

    def kept(value, q, place):
        over[place] += not q.lo <= value <= q.hi
        return max(q.lo, min(q.hi, value))

    one = 1 << art.decoder_b.fmt.f_bits - fmt.mean.f_bits
    a, b = ([kept(round(Fraction(int(v), L * one)), fmt.mean, 0) for v in f]
            for f, L in ((f_a, L_a), (f_b, L_b)))
    unit = 2 ** fmt.mean.f_bits
    seen = [v * unit for v in a] + [v * unit for v in b] \
        + [(v - w) * unit for v, w in zip(a, b)] + [v * w for v, w in zip(a, b)]
    hidden = []
    for o in range(F):
        acc = max(0, sum(int(w) * v for w, v in zip(art.head.w1[o], seen)) + int(art.head.b1[o]))
        value = round(Fraction(acc, 2 ** (fmt.acc_bits - fmt.hidden.f_bits)))
        hidden.append(kept(value, fmt.hidden, 1))
    return [sum(int(w) * v for w, v in zip(row, hidden)) + int(bias)
            for row, bias in zip(art.head.w2, art.head.b2)], over


def features(art, count=40, seed=0):
    """Pairs of features and steps: the largest that can be, ties of the mean, and random ones."""
    rng = np.random.default_rng(seed)
    F, most = art.outputs, art.head.bounds(art)["features"] // head.VOTES // art.length
    lengths = rng.integers(1, art.length + 1, (2, count))
    f = rng.integers(-most, most + 1, (2, count, F)) * lengths[..., None]
    f[:, 0], f[:, 1] = most * lengths[:, :1], -most * lengths[:, 1:2]
    half = lengths[..., None] << art.decoder_b.fmt.f_bits - art.head.fmt.mean.f_bits
    f[:, 2:12] = (half * rng.integers(-9, 10, f.shape) + half // 2)[:, 2:12]
    f[:, 12:22] += rng.integers(-1, 2, f.shape)[:, 12:22]
    return f[0], lengths[0], f[1], lengths[1]


@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
def test_every_number_of_the_head(options):
    art = made(**options)
    given = features(art)
    got = head.classify(art, *given)
    for k, pair in enumerate(zip(*given)):
        logits, over = exactly(art, pair[0], int(pair[1]), pair[2], int(pair[3]))
        assert got.logits[k].tolist() == logits, k
        assert got.saturations[k].tolist() == over, k
        assert got.labels[k] == np.argmax(logits)
        assert max(map(abs, logits)) <= art.head.bounds(art)["logits"]


@pytest.mark.parametrize("part", range(4))
def test_bounds_of_the_hidden_sums_are_reached(part):
    """Of each part of (a, b, a - b, a b) alone, at the means' limits."""
    art = made(features=1, n_classes=1)
    fmt, w1 = art.head.fmt, np.zeros((1, 4), np.int64)
    w1[0, part] = -5
    art = replace(art, head=replace(art.head, w1=w1, b1=np.array([-3])))
    lo, hi = fmt.mean.lo, fmt.mean.hi
    reached = max(abs(-5 * ([a << fmt.mean.f_bits, b << fmt.mean.f_bits, (a - b) << fmt.mean.f_bits,
                             a * b][part]) - 3) for a in (lo, hi) for b in (lo, hi))
    bound = art.head.bounds(art)["hidden"]
    assert reached <= bound <= reached * 1.01


def test_saturations_are_seen():
    art = made(stress=0.3)
    fmt = replace(art.head.fmt, mean=SQ(1, art.head.fmt.mean.f_bits))
    got = head.classify(replace(art, head=replace(art.head, fmt=fmt)), *features(art))
    assert (got.saturations.sum(0) > 0).all()


def pairs(art, count=3, seed=1):
    """Sequences (2 count, L) and their steps, in the order of ``Split.sequences``."""
    rng = np.random.default_rng(seed)
    high = art.vocab or 256
    lengths = rng.integers(1, art.length + 1, 2 * count)
    lengths[0] = art.length
    values = rng.integers(0, high, (2 * count, art.length))
    return np.where(np.arange(art.length) < lengths[:, None], values, 0), lengths


@pytest.mark.parametrize("options", [*CASES.values(), {"vocab": 5}, {"rounding": "half_even"}],
                         ids=[*CASES, "tokens", "half_even"])
def test_recurrence_network_and_reference_agree(options):
    start = made(**options)
    net = QuantNetwork(to_program(start))
    art = to_artifact(net, "synthetic", start.length, start.seed, {})
    values, lengths = pairs(art)
    traces = [reference.run(art, v[:n]) for v, n in zip(values, lengths)]
    batch = IntegerNetwork(art, threads=1).run(values, lengths)
    np.testing.assert_array_equal(batch.logits, [t.logits for t in traces])
    want = head.answers(art, batch.logits, lengths)
    rows = np.concatenate([np.arange(0, 6, 2), np.arange(1, 6, 2)])     # first inputs first
    v = torch.from_numpy(values[rows])
    if not art.vocab:
        v = v.double() * 2.0 ** -art.sample.f_bits
    with torch.no_grad():
        logits = net(v, torch.from_numpy(lengths[rows]), "recurrence", LfsrDraws(art))
    np.testing.assert_array_equal(logits.numpy() * 2.0 ** art.head.fmt.b2.f_bits, want.logits)


def test_without_a_head_answers_are_the_logits():
    art = random_artifact(seed=3, H=4, n=2)
    logits = np.array([[3, 5, 5], [9, 9, 1], [0, 0, 0]])
    got = head.answers(art, logits, np.ones(3, int))
    assert got.logits is logits and got.labels.tolist() == [1, 0, 0] and not got.saturations.any()
    assert (art.inputs, art.outputs, ART.inputs, ART.outputs) == (1, 3, 2, 4)


def test_votes_are_means_over_all_runs():
    f_a, L_a, f_b, L_b = features(ART, 30)
    flat, steps = np.stack([f_a, f_b], 1).reshape(60, -1), np.stack([L_a, L_b], 1).reshape(60)
    one = head.answers(ART, flat, steps)
    three = head.answers(ART, 3 * flat, steps, votes=3)
    np.testing.assert_array_equal(one.logits, three.logits)
    with pytest.raises(ArtifactError, match="2000 votes: .* at most 1024"):
        head.answers(ART, flat, steps, votes=2000)
    with pytest.raises(ArtifactError, match="59 sequences, but network synthetic takes two"):
        head.answers(ART, flat[:59], steps[:59])


def test_a_file_and_its_digest(tmp_path):
    loaded = artifact.load(artifact.save(ART, tmp_path / "a"))
    assert artifact.digest(loaded) == artifact.digest(ART)
    for name in ("w1", "b1", "w2", "b2"):
        np.testing.assert_array_equal(getattr(loaded.head, name), getattr(ART.head, name))
        raw = getattr(ART.head, name).copy()
        raw.flat[0] += 1 if raw.flat[0] <= 0 else -1
        other = replace(ART, head=replace(ART.head, **{name: raw})).check()
        assert artifact.digest(other) != artifact.digest(ART), name
    artifact.save(random_artifact(3, H=4, n=2), tmp_path / "b")
    with np.load(tmp_path / "b" / "arrays.npz") as arrays:
        m = json.loads((tmp_path / "b" / "manifest.json").read_text())
        assert not [name for name in [*m, *arrays.files] if "head" in name]


WRONG = {
    r"head, w1: shape \(4, 15\), expected \(4, 16\)": {"w1": ART.head.w1[:, 1:]},
    r"head, w2: shape \(2, 4\), expected \(3, 4\)": {"w2": ART.head.w2[:2]},
    r"head, b2: 1 of 3 values outside": {"b2": np.array([0, 1 << 60, 0])},
    r"head, mean: SQ\(2,30\) has more fraction bits than the features": {
        "fmt": replace(ART.head.fmt, mean=SQ(2, 30), b1=SQ(2, 66))},
    r"head, hidden: values up to \d+ need \d+ bits, 64 are the most": {
        "fmt": replace(ART.head.fmt, mean=SQ(20, 18), b1=SQ(8, 42))},
}


@pytest.mark.parametrize("message", WRONG)
def test_heads_that_do_not_fit(message):
    with pytest.raises(ArtifactError, match=message):
        replace(ART, head=replace(ART.head, **WRONG[message])).check()


@pytest.mark.parametrize("change, message", [
    ({"b1": SQ(2, 9)}, "head, b1: SQ.2,9. must have the 22 fraction bits"),
    ({"b2": SQ(2, 9)}, "head, b2: SQ.2,9. must have the 14 fraction bits"),
    ({"hidden": SQ(2, 30), "b2": SQ(8, 36)}, "head, hidden: SQ.2,30. has more fraction bits")])
def test_formats_that_do_not_fit(change, message):
    with pytest.raises(FormatError, match=message):
        replace(ART.head.fmt, **change)


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    task = TinyPair()
    net = Network(PaperConfig(n_classes=3, n_blocks=2, d_model=8, d_state=4, features=5))
    values, lengths = task.load("train").sequences().values / 256, None
    net.calibrate(torch.from_numpy(values).float(), lengths)
    return Checkpoint(net.eval(), task, {})


def test_export_and_evaluation(found, tmp_path, capsys):
    made = export.export(found, tmp_path / "a", n=5, n_vectors=2, count={"norms": 5, "ranges": 5})
    assert "head" in capsys.readouterr().out
    art = artifact.load(tmp_path / "a")
    assert artifact.digest(art) == artifact.digest(made)
    assert (art.outputs, art.n_classes, art.inputs) == (5, 3, 2)
    info = art.info
    assert {row["tensor"] for row in info["tensors"] if row["layer"] == "head"} == {
        "w1", "b1", "w2", "b2"}
    assert {row["tensor"] for row in info["ranges"] if row["layer"] == "head"} == {
        "mean", "hidden"}
    kept = vectors.load(tmp_path / "a" / "vectors.npz", art)
    flat = TinyPair().load("test").sequences()
    np.testing.assert_array_equal(kept.lengths, flat.lengths[:4])
    for v, n, trace in zip(kept.values, kept.lengths, kept.traces):
        np.testing.assert_array_equal(reference.run(art, v[:n]).logits, trace.logits)
    split = TinyPair().load("test")
    result = evaluate.evaluate(art, split, seeds=1, threads=1)
    batch = IntegerNetwork(art, threads=1).run(flat.values, flat.lengths)
    said = head.classify(art, batch.logits[::2], flat.lengths[::2], batch.logits[1::2],
                         flat.lengths[1::2])
    assert result["n"] == 5 and result["accuracy_mean"] == (said.labels == split.labels).mean()
    assert info["accuracy"]["integer"] == result["accuracy_mean"]
    # Integers are near the real numbers that they stand for.
    net = QuantNetwork(without_formats(to_program(art)))
    f = batch.logits * 2.0 ** -art.decoder_b.fmt.f_bits / flat.lengths[:, None]
    with torch.no_grad():
        real = net.head(torch.from_numpy(np.concatenate([f[::2], f[1::2]])))
    np.testing.assert_allclose(said.logits * 2.0 ** -art.head.fmt.b2.f_bits, real, atol=2e-3)


def test_formats_as_a_file_and_back(found):
    prepared = prepare.prepare(found, TinyPair().load("train"), {"norms": 5, "ranges": 5})
    net = prepared.model(QuantConfig())
    again = _formatted(prepared.folded, formats_of(net.program))
    assert formats_of(again) == formats_of(net.program) and again.head.fmt == net.head.fmt
    art = to_artifact(net, "t", 12, 1, {})
    ranges.check_seen(prepared.seen, art, 1.0)
    for name, (low, high) in prepared.seen.head.items():
        wider = replace(prepared.seen, head=prepared.seen.head | {name: (9 * low, 9 * high)})
        with pytest.raises(ExportError, match=f"head, {name}: .* leave SQ"):
            ranges.check_seen(wider, art, 1.0)


def test_ranges_of_all_batches():
    net = QuantNetwork(without_formats(to_program(ART)))
    found = ranges.watch_head(net)
    batches = [torch.randn(6, 4).double() * scale for scale in (1, 3, 2)]
    for batch in batches:
        net.head(batch)
    low, high = found["mean"]
    assert (low == torch.cat(batches).amin(0)).all() and (high == torch.cat(batches).amax(0)).all()
    hidden = torch.cat([net.head.hidden(batch) for batch in batches])
    assert (found["hidden"][1] == hidden.amax(0)).all() and hidden.max() > 0


def test_released_pairs_are_refused():
    net = Network(ReleasedConfig(n_classes=3, d_model=4, d_state=4, pair=True, init="s4d_lin"))
    with pytest.raises(FoldError, match="pair = True and family = released"):
        fold(net)


@pytest.mark.parametrize("art, task, message", [
    (ART, "Tiny", "is not for task tiny: its number of inputs is 2, the task's is 1"),
    (random_artifact(seed=3, H=4, n=2, length=12), "TinyPair",
     "is not for task tinypair: its number of inputs is 1, the task's is 2")])
def test_evaluation_of_another_number_of_inputs(art, task, message, tmp_path, capsys):
    artifact.save(art, tmp_path / "a")
    assert evaluate.main(["--task", f"tests.sim.task:{task}", "--artifact",
                          str(tmp_path / "a")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
