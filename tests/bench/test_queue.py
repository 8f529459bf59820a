"""The queue of trainings: its list, and that nothing is lost when it is killed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from bench import queue, trainings
from golden.base.cli import UserError

LIST = """
folder = "{folder}"
jobs = 1
nice = 0

[[training]]
name = "first"
task = "digits"
recipe = "digits_tiny"
epochs = 2

[[training]]
name = "second"
task = "digits"
recipe = "digits_tiny"
epochs = 1
seed = 1
after = "first"
"""


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "list.toml"
    path.write_text(LIST.format(folder=tmp_path / "out"))
    return path


def run(path, *options):
    return subprocess.Popen([sys.executable, "-m", "bench.queue", str(path), *options], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=os.environ | {"OMP_NUM_THREADS": "1"})


def digest(path):
    return {name: t.tolist() for name, t in torch.load(path, weights_only=True)["state"].items()}


def log(lines):
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_options_of_a_training(listed):
    found = trainings.read(listed)
    first, second = found.trainings
    assert first.options(found) == ["--task", "digits", "--recipe", "digits_tiny", "--epochs", "2"]
    start = str(found.folder / "first" / "best.pt")
    assert second.options(found)[-2:] == ["--start", start]
    assert "--seed" in second.options(found)


def test_what_is_kept_goes_on_elsewhere(listed, tmp_path):
    text = listed.read_text().replace("jobs", f'kept = "{tmp_path / "kept"}"\njobs', 1)
    listed.write_text(text)
    here = trainings.read(listed)
    first, second = here.trainings
    assert here.keep() == [] and not here.restore(first)
    here.out(first).mkdir(parents=True)
    for name in ("last.pt", "log.jsonl"):
        (here.out(first) / name).write_text(name)
    assert here.keep() == ["first"]
    listed.write_text(text.replace('/out"', '/elsewhere"'))
    there = trainings.read(listed)
    assert there.restore(first) and not there.restore(first) and not there.restore(second)
    assert [(there.out(first) / name).read_text() for name in ("last.pt", "log.jsonl")] == \
        ["last.pt", "log.jsonl"]
    assert not (there.out(first) / "best.pt").exists()


def test_what_cannot_be_kept(listed, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no folder to keep"):
        trainings.read(listed).keep()
    listed.write_text(listed.read_text().replace("jobs", f'kept = "{tmp_path / "kept"}"\njobs', 1))
    found = trainings.read(listed)
    monkeypatch.setattr(trainings, "KEPT_BYTES", 3)
    found.out(found.trainings[0]).mkdir(parents=True)
    (found.out(found.trainings[0]) / "last.pt").write_bytes(b"1234")
    with pytest.raises(UserError, match="first/last.pt has 4 bytes, at most 3"):
        found.keep()
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("line", [
    b"[" * 100_000, b"\xcc", b"[1]", b'{"epoch": 2, "val_accuracy": "x"}', b'{"recipe": 1}',
    b'{"epoch": "2", "val_accuracy": 0.5}', b'{"recipe": {}}', b'{"recipe": {"epochs": null}}',
    b'{"epoch": 2, "val_accuracy": NaN}', b'{"epoch": 2, "val_accuracy": 0.5, "seconds": []}'])
def test_a_damaged_line_of_a_log_does_not_count(listed, line):
    found = trainings.read(listed)
    first = found.trainings[0]
    folder = found.out(first)
    folder.mkdir(parents=True)
    good = log([{"recipe": {"epochs": 2}}, {"epoch": 1, "val_accuracy": .5, "seconds": 1800}])
    (folder / "log.jsonl").write_bytes(good.encode() + line + b"\n")
    assert found.standing(first) == trainings.Standing(1, 2, .5, .5, 0.5)


def test_standing_from_a_log(listed):
    found = trainings.read(listed)
    first, second = found.trainings
    assert found.standing(first) == trainings.Standing()
    assert found.ready((), ()) == [first]
    folder = found.out(first)
    folder.mkdir(parents=True)
    begin, resumed = ({"recipe": {"epochs": 2}, "resumed_at": k} for k in (0, 1))
    one, two = ({"epoch": k, "val_accuracy": a, "seconds": 1800} for k, a in ((1, .5), (2, .4)))
    other = {"recipe": {"epochs": 9}, "resumed_at": 0}, {"epoch": 9, "val_accuracy": .9}
    path = folder / "log.jsonl"
    path.write_text(log([*other, begin, one]))
    assert found.standing(first) == trainings.Standing(1, 2, .5, .5, 0.5)
    path.write_text(log([*other, begin, one, resumed, two]) + '{"epo')
    assert found.standing(first) == trainings.Standing(2, 2, .5, .4, 1.0)
    assert found.ready((), ()) == [second]
    assert found.ready(("second",), ()) == found.ready((), ("second",)) == []


@pytest.mark.parametrize("text, said", [
    ("jobs = 2", "has no \\[\\[training\\]\\]"),
    ("training = ['digits']", "has no \\[\\[training\\]\\]"),
    ("folder = ", "is not a TOML file"),
    ("speed = 3\n[[training]]\nname = 'a'\ntask = 'digits'", "speed is unknown; known: folder"),
    ("jobs = 0\n[[training]]\nname = 'a'\ntask = 'digits'",
     "jobs must be a whole number of at least 1, not 0"),
    ("[[training]]\nname = 'a'", "training a: task is missing"),
    ("[[training]]\nname = '../a'\ntask = 'digits'", "a name is made of"),
    ("[[training]]\nname = 'a'\ntask = 'digits'\nepoch = 3", "epoch is unknown"),
    ("[[training]]\nname = 'a'\ntask = 'digits'\nepochs = '3'",
     "epochs must be a whole number of at least 1, not .3."),
    ("[[training]]\nname = 'a'\ntask = 'digits'\nafter = 'b'", "after names b"),
    ("[[training]]\nname = 'a'\ntask = 'digits'\n" * 2, "two trainings have this name"),
])
def test_a_wrong_list_is_refused(tmp_path, text, said):
    path = tmp_path / "list.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        trainings.read(path)


def test_a_missing_list_or_training_is_refused(listed):
    with pytest.raises(UserError, match="does not exist"):
        trainings.read(listed.with_name("other.toml"))
    with pytest.raises(UserError, match="no training third; it has first, second"):
        trainings.read(listed, only=["third"])


def test_two_queues_do_not_share_a_folder(tmp_path):
    with queue.lock(tmp_path):
        with pytest.raises(UserError, match="another queue"):
            queue.lock(tmp_path)
    queue.lock(tmp_path).close()


def test_a_failed_training_is_named_with_its_reason(tmp_path):
    path = tmp_path / "list.toml"
    path.write_text(f'folder = "{tmp_path}/out"\nnice = 0\n[[training]]\n'
                    'name = "a"\ntask = "digitz"\n')
    done = run(path)
    out, err = done.communicate(timeout=300)
    assert done.returncode == 2
    assert "1 of 1 trainings failed: a: exit code 2" in err and "'digitz' is unknown" in err


def test_killed_at_any_moment_it_goes_on_to_the_same_weights(listed, tmp_path):
    whole = run(listed, "--only", "first")
    assert whole.wait(timeout=300) == 0, whole.stderr.read()

    other = tmp_path / "other.toml"
    other.write_text(LIST.format(folder=tmp_path / "again"))
    killed, folder = run(other, "--only", "first"), tmp_path / "again"
    path = folder / "first" / "log.jsonl"
    for _ in range(3000):
        if path.exists() and '"epoch": 1' in path.read_text():
            break
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for _ in range(300):                # its training ends with it
        try:
            queue.lock(folder).close()
            break
        except UserError:
            time.sleep(0.1)
    assert run(other, "--only", "first").wait(timeout=300) == 0
    assert digest(folder / "first" / "last.pt") == digest(tmp_path / "out" / "first" / "last.pt")
    assert path.read_text().count('"recipe"') == 2          # begun, and gone on
