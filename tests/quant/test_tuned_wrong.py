"""Fine-tuned files: damaged, edited, of others; fine-tunings that diverge, resume or meet."""

import itertools

import pytest
import torch

from golden import checkpoint
from golden.base.folders import Busy, lock
from golden.training.divergence import Diverged
from quant import finetune, tuned
from tests.golden.files_of_torch import flips, refusal, unsafe
from tests.quant.test_export import TOY, made
from tests.quant.test_finetune import start

WRONG = (None, True, -3, 2**62, float("nan"), "x", "[" * 9000, "{}", [], {}, {"a": {}},
         torch.zeros(3), torch.zeros(0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(found network, folder, content of an unfinished fine-tuning)."""
    folder = tmp_path_factory.mktemp("tuned")
    found, net = start(made(folder / "net.pt"))
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        save = tuned.save

        def stop(*args):
            save(*args)
            raise KeyboardInterrupt
        patch.setattr(tuned, "save", stop)
        finetune.finetune(found, net, folder / "tuned.pt", steps=4, batch=4, save_every=2)
    return found, folder, tuned.read(folder / "tuned.pt", found)


def test_a_flipped_bit_is_refused_or_harmless(saved):
    found, folder, good = saved
    wanted, taken = tuned.build(good, found).state_dict(), 0
    for content in flips(folder / "tuned.pt", 1, seed=1):
        (folder / "bad.pt").write_bytes(content)
        nets = []
        line = refusal(lambda: nets.append(tuned.read(folder / "bad.pt", found)))
        assert bool(line) != bool(nets) and (not line or "bad.pt" in line)
        if nets:
            taken += 1
            assert nets[0]["formats"] == good["formats"] and nets[0]["steps"] == good["steps"]
            assert all(torch.equal(nets[0]["state"][k], t) for k, t in good["state"].items())
    assert taken > 20 and len(wanted) > 10


@pytest.mark.parametrize("key", tuned.TYPES)
def test_any_value_in_any_field(key, saved):
    found, folder, good = saved
    wanted = tuned.build(good, found).state_dict()
    inner = [good[key] | {name: value} for name, value in itertools.product(
        list(good[key])[:3], WRONG)] if isinstance(good[key], dict) else []
    refused = 0
    for value in (*WRONG, *inner):
        path, nets = unsafe(folder / "bad.pt", good | {key: value}), []
        line = refusal(lambda: nets.append(tuned.load(path, found)))
        refused += bool(line)
        if nets:
            assert all(torch.equal(wanted[k], t) for k, t in nets[0].state_dict().items())
    assert refused >= 6



def test_formats_of_many_bits_and_of_none(saved):
    found, folder, good = saved
    for text, says in ((good["formats"].replace("SQ(1,", "SQ(100000000,", 1), "more than 64 bits"),
                       (good["formats"].replace("SQ(1,", "SQ(1,9999999", 1), "more than 64 bits"),
                       (good["formats"].replace("SQ(1,", "SQ(0,", 1), f"{folder / 'bad.pt'}: the"),
                       (good["formats"][:-20], "formats are damaged"), ("[" * 9000, "damaged"),
                       ("3", "formats are damaged"), ("{}", "")):
        path = unsafe(folder / "bad.pt", good | {"formats": text})
        assert says in (line := refusal(lambda: tuned.load(path, found))) and line


@pytest.mark.parametrize("change, says", [
    (lambda t: t.int(), "is of type torch.int32"), (lambda t: t[:-1], "has shape"),
    (lambda t: t * torch.nan, "not finite"), (lambda t: t.half(), "is of type torch.float16"),
    (lambda t: t.tolist(), "must be a plain tensor"), (lambda t: t + 1e12, "has numbers from")],
    ids=["int", "shape", "nan", "half", "list", "large"])
def test_tensors_of_another_kind(change, says, saved):
    found, folder, good = saved
    name = next(k for k, t in good["state"].items() if t.ndim == 1 and t.is_floating_point())
    path = unsafe(folder / "bad.pt", good | {"state": good["state"] | {
        name: change(good["state"][name])}})
    assert says in refusal(lambda: tuned.load(path, found))


def resumed(saved, content: dict, **options) -> str:
    found, folder, _ = saved
    net = tuned.build(content, found)
    return refusal(lambda: finetune.finetune(
        found, net, folder / "again.pt", resume=content,
        **{"steps": 4, "batch": 4, "save_every": 2} | options))


def test_a_resume_is_of_the_same_fine_tuning(saved):
    good = saved[2]
    assert resumed(saved, good) == ""
    assert "lr: 0.001, now 0.1" in resumed(saved, good, lr=0.1)
    assert "seed: 0, now 7; " not in resumed(saved, good, seed=7) and "seed: 0, now 7" in resumed(
        saved, good, seed=7)
    assert "another fine-tuning (steps: 4, now 9)" in resumed(saved, good, steps=9)
    before = {key: value for key, value in good.items() if key != "options"}
    assert resumed(saved, before) == ""             # files of before do not say
    assert "is after step 7 of 4" in resumed(saved, good | {"steps": 7})
    assert "rng must be a tensor of" in resumed(saved, good | {"rng": good["rng"][:100]})
    opt = good["optimiser"]
    bad = opt["state"] | {0: opt["state"][0] | {"exp_avg": opt["state"][0]["exp_avg"] * torch.nan}}
    assert "exp_avg of parameter 0" in resumed(saved, good | {"optimiser": opt | {"state": bad}})


def test_divergence_leaves_the_file(tmp_path, monkeypatch):
    found, net = start(made(tmp_path / "net.pt"))
    path, calls = tmp_path / "tuned.pt", iter(range(99))
    loss = torch.nn.functional.cross_entropy
    monkeypatch.setattr(finetune.F, "cross_entropy", lambda *args: loss(*args) * (
        torch.nan if next(calls) == 3 else 1))
    with pytest.raises(Diverged, match=r"step 4 of 6: the loss .*\(the loss\).* smaller --lr"):
        finetune.finetune(found, net, path, steps=6, batch=4, save_every=2)
    content = tuned.read(path, found)
    assert content["steps"] == 2
    assert all(torch.isfinite(t).all() for t in content["state"].values())


def test_two_fine_tunings_of_one_file(tmp_path, monkeypatch):
    path = made(tmp_path / "net.pt")
    monkeypatch.setattr("sys.argv", ["quant.finetune", "--task", TOY, "--checkpoint", str(path),
                                     "--out", str(tmp_path / "t.pt"), "--steps", "1",
                                     "--threads", "1"])
    with lock(tmp_path / "t.pt"), pytest.raises(Busy, match="t.pt belongs to another run"):
        finetune.main()
    assert not (tmp_path / "t.pt").exists()
    monkeypatch.setattr("sys.argv", ["quant.finetune", "--task", "digits", "--checkpoint",
                                     str(path), "--steps", "1"])
    with pytest.raises(checkpoint.CheckpointError, match=f"is a network for task {TOY}, not"):
        finetune.main()


def test_a_resume_of_other_widths(tmp_path, monkeypatch):
    """They are in the file: an option that says otherwise is not passed over."""
    path, save = made(tmp_path / "net.pt"), tuned.save

    def command(*options) -> str:
        monkeypatch.setattr("sys.argv", [
            "quant.finetune", "--task", TOY, "--checkpoint", str(path), "--out",
            str(tmp_path / "t.pt"), "--steps", "201", "--batch", "1", "--threads", "1", *options])
        return refusal(finetune.main)

    def stop(*args):
        save(*args)
        raise KeyboardInterrupt
    monkeypatch.setattr(tuned, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        command("--weight-bits", "6")
    line = command("--resume", "--weight-bits", "7")
    assert "weight_bits=6" in line and "weight_bits=7" in line and "another fine-tuning" in line
    assert "sampling: as trained, now sobol" in command("--resume", "--weight-bits", "6",
                                                        "--sampling", "sobol")
    monkeypatch.setattr(tuned, "save", save)
    assert command("--resume", "--weight-bits", "6") == ""
