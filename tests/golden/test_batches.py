"""Batches of like lengths: little padding, few lengths, no sequence left out for good."""

import numpy as np
import torch

from golden.training.batches import (Stored, batch_of, batches, compact, epoch_order, fast_dtype,
                                     longest, rounded)
from golden.tasks import Split
from golden.base.qformat import SQ, UQ


class Tokens:
    name, n_classes, length, vocab, sample_format = "tokens", 4, 2000, 16, None


def ragged(n: int = 600, inputs: int = 1) -> Split:
    rng = np.random.default_rng(0)
    shape = (n,) if inputs == 1 else (n, inputs)
    lengths = rng.integers(500, 2000, shape)
    values = rng.integers(1, 16, (*shape, 2000)) * (np.arange(2000) < lengths[..., None])
    return Split(values, lengths, rng.integers(0, 4, n))


def test_equal_lengths_keep_the_plain_shuffle():
    order = epoch_order(np.full(100, 7), 32, np.random.default_rng([3, 1]))
    np.testing.assert_array_equal(order, np.random.default_rng([3, 1]).permutation(100))
    split = Split(np.ones((9, 7), np.uint8), np.full(9, 7), np.zeros(9, np.int64))
    values, lengths, _ = Stored(split, Tokens(), few_lengths=True).batch(0, 4)
    assert values.shape == (4, 7) and lengths is None


def test_an_epoch_of_different_lengths():
    split, batch = ragged(2_100), 8
    stored = Stored(split, Tokens(), few_lengths=True)
    missing, orders, steps, sizes, used = [], [], 0, set(), 0
    for epoch in range(3):
        order = epoch_order(split.lengths, batch, np.random.default_rng([0, epoch]))
        assert sorted(order) == list(range(2_100))
        orders.append(order)
        missing.append(set(order[2_096:].tolist()))
        sequences = stored.ordered(order)
        for k in range(2_100 // batch):
            values, lengths, labels = sequences.batch(batch * k, batch)
            chosen = order[batch * k:batch * (k + 1)]
            wanted, own, classes = batch_of(split, chosen, Tokens())
            assert torch.equal(values[:, :wanted.shape[1]], wanted) and torch.equal(labels, classes)
            assert not values[:, wanted.shape[1]:].any()
            assert lengths is None or torch.equal(lengths, torch.from_numpy(split.lengths[chosen]))
            sizes.add(values.shape[1])
            steps += values.numel()
            used += split.lengths[chosen].sum()
    assert 1 - used / steps < 0.05 and len(sizes) < 35     # shuffled alone: a third is padding
    assert not missing[0] & missing[1] & missing[2]
    assert (np.diff(orders[0].reshape(-1, 12)) != 0).all() and (orders[0] != orders[1]).any()
    first = np.array([split.lengths[orders[0][batch * k]] for k in range(262)])
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.3      # batches are shuffled


def test_pools_change_the_company_of_a_sequence():
    lengths = np.arange(4_000)
    company = []
    for epoch in range(2):
        order = epoch_order(lengths, 10, np.random.default_rng([0, epoch]))
        group = order.reshape(-1, 10)
        company.append(set(group[(group == 1_234).any(1)].ravel().tolist()))
    assert len(company[0] & company[1]) < 8


def test_lengths_are_rounded_to_a_few():
    found = [rounded(k) for k in range(1, 4_097)]
    assert all(k <= r <= k + max(15, k / 8) for k, r in enumerate(found, 1))
    assert [rounded(k) for k in (1, 16, 500, 1_000, 2_000, 4_096)] == [16, 16, 512, 1_024, 2_048,
                                                                      4_096]
    assert len({rounded(k) for k in range(500, 2_000)}) <= 34


def test_two_inputs():
    split = ragged(30, inputs=2)
    order = epoch_order(longest(split.lengths), 5, np.random.default_rng(1))
    for part, (values, lengths, labels) in (
            (order[5:10], Stored(split, Tokens(), few_lengths=True).ordered(order).batch(5, 5)),
            (np.arange(3), batch_of(split, np.arange(3), Tokens()))):
        B, L = len(part), values.shape[1]
        assert values.shape[0] == 2 * B == len(lengths) and labels.shape == (B,)
        for k, example in enumerate(part):
            for which in range(2):
                assert values[which * B + k].tolist() == split.values[example, which, :L].tolist()
                assert lengths[which * B + k] == split.lengths[example, which]
    seen = [labels for _, _, labels in batches(split, Tokens(), 8)]
    wanted = split.labels[np.argsort(split.lengths.max(1), kind="stable")]
    assert torch.cat(seen).tolist() == wanted.tolist()
    moved = Stored(split, Tokens()).ordered(order, lambda raw: raw + 1)
    assert torch.equal(moved.values, Stored(split, Tokens()).values[torch.from_numpy(order)] + 1)


def test_values_are_kept_small():
    for fmt, vocab, dtype in ((UQ(0, 8), 0, np.uint8), (SQ(1, 7), 0, np.int8),
                              (SQ(1, 15), 0, np.int16), (UQ(0, 16), 0, np.int32),
                              (None, 16, np.uint8), (None, 257, np.int16)):
        task = Tokens()
        task.sample_format, task.vocab = fmt, vocab
        high = fmt.hi if fmt else vocab - 1
        kept = compact(np.array([[0, high]]), task)
        assert kept.dtype == dtype and kept[0, 1] == high


def test_narrow_networks_train_in_float32_on_a_cpu(monkeypatch):
    """oneDNN dies of a division by zero at (32, 49152) @ (49152, 32) in bfloat16 on AMX."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert [fast_dtype(neurons) for neurons in (1, 32, 33)] == [torch.float32, torch.float32,
                                                                torch.bfloat16]
