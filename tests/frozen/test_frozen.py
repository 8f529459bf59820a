"""The record holds: what the project computes is what it computed when the record was made."""

import json

import numpy as np
import pytest
import torch

from tests.frozen import record
from tests.frozen.changed import unmeant
from tests.frozen.compare import differences, digest, sizes, sums

ENTRIES = [f"{kind}/{name}" for kind, (names, _) in record.KINDS.items() for name in names()]


@pytest.fixture(scope="module")
def recorded() -> dict:
    return json.loads(record.RECORD.read_text())


@pytest.mark.parametrize("key", ENTRIES)
def test_entry(key, recorded):
    if key.startswith("release/") and record.fixtures() is None:
        pytest.skip(f"no folder with outputs of the released code: set ${record.FIXTURES}")
    entry = recorded[key]
    found = unmeant(differences(entry, record.compute(*key.split("/"))), key, entry)
    assert not found, f"{len(found)} differences from the record, the first ones:\n" + "\n".join(
        found[:5])


def test_every_input_is_in_the_record_and_nothing_else(recorded):
    assert sorted(recorded) == sorted(ENTRIES)


def test_a_difference_is_seen_and_named():
    a = {"x": {"logits": [1.0, 2.0], "digest": "ab"}, "n": 3}
    assert differences(a, {"x": {"logits": [1.0 + 5e-11, 2.0], "digest": "ab"}, "n": 3}) == []
    assert differences(a, {"x": {"logits": [1.0, 2.0 + 1e-9], "digest": "ab"}, "n": 3}) == [
        "x/logits[1]: expected 2.0, got 2.000000001"]
    assert differences(a, {"x": {"logits": [1.0], "digest": "cd"}}) == [
        "x/logits: expected 2 values, got 1", "x/digest: expected 'ab', got 'cd'", "n: missing"]
    assert differences({"n": 3}, {"n": 3.0}) == ["n: expected 3, got 3.0"]


def test_a_digest_is_of_shape_and_values():
    raw = np.arange(6)
    assert digest(raw) == digest(raw.astype(np.uint8))
    assert len({digest(raw), digest(raw.reshape(2, 3)), digest(raw[::-1])}) == 3
    with pytest.raises(TypeError, match="of integers, not of float64"):
        digest(raw * 1.0)


def test_sums_see_the_order_and_sizes_leave_zeros_out():
    t = torch.arange(4.0)
    assert sums(t) != sums(t.flip(0)) and sums(t)[0] == sums(t.flip(0))[0]
    assert sizes([torch.ones(4), None, torch.zeros(2)]) == [[[4], 2.0]]
