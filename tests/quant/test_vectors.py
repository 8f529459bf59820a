"""Golden vectors: files that hold everything, or say what is wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest

from quant.integer import reference
from quant.integer.synthetic import random_artifact
from quant.integer.vectors import VectorError, expected, load, make, save

ART = random_artifact(2, H=5, n=2, n_layers=3)      # 3 * 5 bits a step: no whole bytes
VALUES = np.random.default_rng(0).integers(0, 256, (4, 13))
LENGTHS = np.array([1, 13, 7, 8])


@pytest.fixture
def path(tmp_path):
    return save(make(ART, VALUES, LENGTHS, seed=5, command="make it",
                     indices=np.array([17, 4242, 1, 2])), tmp_path / "deep" / "vectors.npz")


def assert_traces(traces, seed):
    for b, got in enumerate(traces):
        want = reference.run(ART, VALUES[b, :LENGTHS[b]], seed)
        for name in ("s_in", "s_out", "signature", "logits", "label", "saturations"):
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name), name)


def test_expected_is_the_reference():
    assert_traces(expected(ART, VALUES, LENGTHS, 9, threads=1), 9)


def test_expected_is_the_reference_where_every_direction_number_is_used():
    """40 steps: the last of six numbers is first used in step 32. One wrong bit of any is seen."""
    art = random_artifact(2, H=5, n=2, n_layers=1, sampling="sobol")
    values = np.random.default_rng(0).integers(0, 256, (2, 40))
    found = expected(art, values, threads=1)
    for trace, row in zip(found, values):
        np.testing.assert_array_equal(trace.signature, reference.run(art, row).signature)
    net = art.spiking
    assert net.directions.shape == (2, 6)
    for column in range(1, 6):          # a number of one bit has none that could be wrong
        directions = net.directions.copy()
        directions[1, column] ^= 1 << art.random.k - 1
        other = replace(art, **replace(net, directions=directions).parts()).check()
        for trace, row, right in zip(expected(other, values, threads=1), values, found):
            assert (trace.signature != right.signature).any(), column
            np.testing.assert_array_equal(trace.signature, reference.run(other, row).signature)


def test_round_trip(path):
    back = load(path, ART)
    assert_traces(back.traces, 5)
    np.testing.assert_array_equal(back.values, VALUES)
    np.testing.assert_array_equal(back.lengths, LENGTHS)
    assert back.indices.tolist() == [17, 4242, 1, 2]
    assert (back.seed, back.command) == (5, "make it")
    assert [p.name for p in path.parent.iterdir()] == ["vectors.npz"]


def test_default_seed_is_the_artifacts():
    assert make(ART, VALUES).seed == ART.seed


def edit(path, change):
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    change(arrays)
    np.savez_compressed(path, **arrays)


def test_another_artifact(path):
    with pytest.raises(VectorError, match="was made from artifact"):
        load(path, random_artifact(3))


def test_missing(tmp_path):
    with pytest.raises(VectorError, match="does not exist"):
        load(tmp_path / "none.npz")


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_truncated(path, keep):
    whole = path.read_bytes()
    path.write_bytes(whole[:int(len(whole) * keep) if keep == 0.5 else keep])
    with pytest.raises(VectorError, match="truncated or edited"):
        load(path)


@pytest.mark.parametrize("name", ["s_in", "s_out", "signature", "logits", "values", "lengths",
                                  "saturations", "indices"])
def test_edited(path, name):
    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name].flat[-1] ^= 1
    edit(path, change)
    with pytest.raises(VectorError, match="sha256"):
        load(path)


def told(path, **facts):
    """The file with other facts in its manifest."""
    def change(arrays):
        manifest = json.loads(arrays["manifest"].tobytes()) | facts
        arrays["manifest"] = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    edit(path, change)


def test_another_schema(path):
    told(path, schema=3)
    with pytest.raises(VectorError, match="schema 3, this version reads schema 2"):
        load(path)


@pytest.mark.parametrize("name, value", [("layers", 2), ("layers", 10**30), ("H", 4), ("H", -5),
                                         ("seed", 6), ("command", "other"), ("sequences", 3)])
def test_edited_facts(path, name, value):
    """The spikes would come back in other places, or be compared with those of another seed."""
    told(path, **{name: value})
    with pytest.raises(VectorError, match="sha256"):
        load(path, ART)


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError(28, "no space")))
    with pytest.raises(OSError, match="no space"):
        save(make(ART, VALUES), path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["vectors.npz"]
