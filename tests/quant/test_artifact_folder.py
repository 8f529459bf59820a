"""The folder of an artifact changes as a whole: kills, several exports at once, a full disk."""

import multiprocessing
import threading
from dataclasses import replace

import numpy as np
import pytest

from golden.base import folders
from quant import export
from quant.integer import artifact, vectors
from quant.integer.artifact import digest, load
from quant.integer.synthetic import random_artifact
from quant.tune.fit import ExportError
from tests import kills

VALUES = np.arange(8).reshape(2, 4)


def made(seed: int):
    art = random_artifact(seed, n_layers=1, H=4, n=2, length=16)
    return art, vectors.make(art, VALUES)


OLD, NEW = made(1), made(2)


def check(out, *allowed) -> str:
    """The digest of a folder's network; its vectors are of this very network."""
    art = load(out)
    if (out / "vectors.npz").exists():
        vectors.load(out / "vectors.npz", art)
    assert digest(art) in [digest(one) for one, _ in allowed]
    return digest(art)


def test_a_kill_leaves_the_old_artifact_or_the_new_one(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "_exchange", _stepwise)
    out, seen = tmp_path / "artifacts" / "net", set()
    export.write(*OLD, out)
    assert kills.at_every_step(lambda: export.write(*NEW, out),
                               lambda: seen.add(check(out, OLD, NEW))) > 20
    assert seen == {digest(OLD[0]), digest(NEW[0])}
    export.write(*OLD, out)
    assert [path.name for path in out.parent.iterdir()] == ["net"]


def _stepwise(one, other):
    """With steps that can be seen before and behind."""
    folders.os.stat(one)
    REAL(one, other)
    folders.os.stat(one)


REAL = folders._exchange


def test_an_export_without_vectors_takes_the_old_ones_away(tmp_path):
    export.write(*OLD, tmp_path / "net")
    export.write(NEW[0], None, tmp_path / "net")
    assert not (tmp_path / "net" / "vectors.npz").exists()
    check(tmp_path / "net", NEW)


def _exports(out, seed, count):
    pair = made(seed)
    for _ in range(count):
        export.write(*pair, out)


def test_exports_at_once_all_succeed_and_readers_see_one_of_them(tmp_path):
    out, fork = tmp_path / "artifacts" / "net", multiprocessing.get_context("fork")
    makers = [fork.Process(target=_exports, args=(out, seed, 15)) for seed in (1, 2) * 2]
    for maker in makers:
        maker.start()
    reads = 0
    while any(maker.is_alive() for maker in makers):
        if out.exists():
            assert digest(load(out)) in (digest(OLD[0]), digest(NEW[0]))
            reads += 1
    for maker in makers:
        maker.join()
    assert not any(maker.exitcode for maker in makers) and reads
    check(out, OLD, NEW)
    assert [path.name for path in out.parent.iterdir()] == ["net"]


def test_threads_of_one_process_too(tmp_path):
    out, wrong = tmp_path / "net", []

    def make(pair):
        try:
            for _ in range(5):
                export.write(*pair, out)
        except Exception as error:
            wrong.append(error)
    threads = [threading.Thread(target=make, args=(pair,)) for pair in (OLD, NEW) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    check(out, OLD, NEW)


def test_a_full_disk_names_the_folder(tmp_path, monkeypatch):
    """The system's own error names no file."""
    def full(number):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ExportError) as error:
        export.write(*OLD, tmp_path / "net")
    assert str(error.value) == (f"cannot write the artifact: No space left on device "
                                f"({tmp_path / 'net'}); make room, or give another --out")
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'other'}'"):
        artifact.save(OLD[0], tmp_path / "other")
    assert not list(tmp_path.iterdir())


def test_names_in_the_network_are_checked_before_anything_is_written(tmp_path):
    for task in ("../../x", "..", "", ".x", "a/b", "a\nb"):
        with pytest.raises(artifact.ArtifactError, match="task must be a task's name"):
            export.write(replace(OLD[0], task=task), None, tmp_path / "net")
    assert not list(tmp_path.iterdir())
