"""Files of torch.save: sealed, read as PyTorch reads them, or refused in no time."""

import gzip
import pickle
import resource
import struct
import sys
import time
import zipfile

import numpy as np
import pytest
import torch

from golden import checkpoint, stored, tasks, train
from golden.base import cli
from golden.checkpoint import CheckpointError
from golden.stored import StoredError
from golden.training.recipes import Recipe
from tests.golden import files_of_torch
from tests.golden.files_of_torch import CFG, flips, refusal, small, unsafe, zipped

SHIPPED = sorted(checkpoint.SHIPPED.glob("*.pt"))
VALUES = {"float": torch.rand(3, 4), "half": torch.rand(5).half(), "wide": torch.rand(2).double(),
          "bfloat": torch.rand(3).bfloat16(), "whole": torch.arange(6).reshape(2, 3),
          "bool": torch.tensor([True, False]), "one": torch.tensor(2.5), "none": torch.zeros(0, 3),
          "turned": torch.rand(4, 3).T, "part": torch.rand(9)[2:7:2],
          "numbers": [1, -1, 2**40, 0.1, -0.0, True, None], "pair": (0.9, 0.999), 3: {"a": "µ"}}


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


@pytest.mark.parametrize("protocol", [2, 4])
def test_it_is_read_as_pytorch_reads_it(protocol, tmp_path):
    shared = torch.rand(6)
    content = VALUES | {"views": [shared[:3], shared[2:]], "net": files_of_torch.network()
                        .state_dict(), "parameter": torch.nn.Parameter(torch.rand(2))}
    torch.save(content, tmp_path / "x.pt", pickle_protocol=protocol)
    found = stored.read(tmp_path / "x.pt")      # weights_only knows protocol 2 alone
    assert same(found, dict(torch.load(tmp_path / "x.pt", weights_only=protocol == 2)))
    assert stored.digest(found) == stored.digest(content)


def test_the_hash_knows_every_change():
    """Of a number's last bit, a type, a shape, a place, a key; not of the order of keys."""
    digest = stored.digest(VALUES)
    assert digest == stored.digest(dict(reversed(VALUES.items())))
    changes = [("float", VALUES["float"].nextafter(torch.tensor(9.0))), (3, {"a": "u"}),
               ("half", VALUES["half"][:4]), ("wide", VALUES["wide"].float()), ("one", 2.5),
               ("whole", VALUES["whole"].T), ("none", torch.zeros(3, 0)), ("pair", [0.9, 0.999]),
               ("bool", VALUES["bool"].byte()),
               ("numbers", [1, -1, 2**40, 0.1, 0.0, True, None]),
               ("numbers", [1.0, -1, 2**40, 0.1, -0.0, True, None])]
    found = [stored.digest(VALUES | {key: value}) for key, value in changes]
    found += [stored.digest({("4" if k == 3 else k): v for k, v in VALUES.items()})]
    assert len({digest, *found}) == len(changes) + 2


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_is_shipped_is_sealed(path, capsys):
    content = stored.read(path)
    assert content[stored.SEAL] == stored.digest(content)
    assert stored.SEAL not in stored.unsealed(content, path) and not capsys.readouterr().err


@pytest.mark.parametrize("kind", ["sealed", "of before", "last"])
def test_a_flipped_bit_is_refused_or_harmless(kind, tmp_path, capsys):
    """No place in the file: every region of every member, the directory, the end."""
    path = small(tmp_path / "net.pt")
    if kind == "last":
        train.train(tasks.make_task("digits"), Recipe(CFG, epochs=1, warmup=2), tmp_path, limit=32)
        path = tmp_path / "last.pt"
    elif kind == "of before":
        torch.save(checkpoint.read(path), path)
    good, found = stored.digest(checkpoint.read(path)), []
    bad = tmp_path / "bad.pt"
    for content in flips(path, 1 if kind == "last" else 3, seed=len(kind)):
        bad.write_bytes(content)
        line = refusal(lambda: found.append(checkpoint.read(bad)))
        assert line.startswith(str(bad)) or not line and stored.digest(found[-1]) == good
    assert len(found) > 50


def test_an_edited_file_is_refused_and_one_of_before_is_warned_of(tmp_path, capsys, monkeypatch):
    path = small(tmp_path / "net.pt")
    content = torch.load(path, weights_only=True)
    torch.save(content | {"network": content["network"] | {"act": "gelu"}}, path)
    with pytest.raises(CheckpointError, match="its sha256 is not that of its content"):
        checkpoint.load(path)
    del content["sha256"]
    torch.save(content, path)
    capsys.readouterr()
    checkpoint.load(path)
    line, = capsys.readouterr().err.splitlines()
    command = f"python -m golden.checkpoint seal {path}"
    assert line.endswith(command) and "nothing guards it" in line
    for says in ("has a hash now", "had one, which is right"):
        monkeypatch.setattr(sys, "argv", command.split()[2:])
        cli.run("golden.checkpoint", checkpoint.main)
        assert capsys.readouterr() == (f"{path} {says}\n", "")
    assert same(checkpoint.read(path), content) and not capsys.readouterr().err
    assert "is no checkpoint" in refusal(lambda: checkpoint.seal(unsafe(tmp_path / "x", {"a": 1})))


def calls(name: str) -> bytes:
    """A pickle that would call ``os.mkdir(name)``."""
    return b"\x80\x02cos\nmkdir\nX" + struct.pack("<L", len(name)) + name.encode() + b"\x85R."


TENSOR = (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
          b"X\1\0\0\0000X\3\0\0\0cpuJ%stQJ%sJ%s\x85J%s\x85\x89}tR.")


def tensor(count: int = 4, offset: int = 0, size: int = 4, stride: int = 1) -> bytes:
    return TENSOR % tuple(struct.pack("<i", n) for n in (count, offset, size, stride))


LAUGHS = b"\x80\x02]q\0" + b"".join(
    b"](h%ch%ceq%c" % (k, k, k + 1) for k in range(60)) + b"."
HOSTILE = {
    "deep": (b"\x80\x02" + b"(" * 200_000 + b"t" * 200_000 + b".", "in one another"),
    "in itself": (b"\x80\x02]q\0h\0a.", "in one another"),
    "doubled": (LAUGHS, "it holds more than 200,000 values"),
    "doubled in a name": (LAUGHS[:-1] + b"X\1\0\0\0a\x93.", "a name that is no text"),
    "doubled in a key": (LAUGHS[:-1] + tensor()[2:].replace(b"X\1\0\0\0000", b"h\x3c"),
                         "a name that is no text"),
    "far memo": (b"\x80\x02Nr\xff\xff\xff\x7f.", None),
    "long text": (b"\x80\x02\x8d" + struct.pack("<Q", 1 << 60) + b"x.", "truncated"),
    "long bytes": (b"\x80\x05\x96" + struct.pack("<Q", 1 << 33) + b"x.", "truncated"),
    "endless": (b"\x80\x02" + b"N" * 100, "truncated, damaged"),
    "no stack": (b"\x80\x02R.", "damaged"), "no mark": (b"\x80\x02Nu.", "damaged"),
    "no memo": (b"\x80\x02h\5.", "damaged"), "no call": (b"\x80\x02NN\x85R.", "a call of no"),
    "text opcodes": (b"I" + b"9" * 5000 + b"\n.", "damaged"),
    "a long pickle": (b"\x80\x02" + b"N0" * (1 << 20) + b"N.", "its pickle has more than"),
    "no persistent id": (b"\x80\x02NQ.", "damaged"),
    "too large": (tensor(1 << 30), "must have 1073741824 numbers"),
    "expanded": (tensor(size=1 << 30, stride=0), "claims the shape (1073741824,), but has 4"),
    "behind the end": (tensor(offset=1), "claims the shape"),
    "negative": (tensor(size=-1), "shape of a tensor is not one"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_one_line_in_no_time(name, tmp_path):
    content, says = HOSTILE[name]
    path = zipped(tmp_path / "x.pt", content, _0=bytes(16))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    line = refusal(lambda: stored.read(path))
    assert says in line if says else not line
    assert time.process_time() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000    # kB


def test_nothing_is_called(tmp_path):
    path = zipped(tmp_path / "x.pt", calls(str(tmp_path / "made")))
    assert stored.read(path).name == "os.mkdir" and not (tmp_path / "made").exists()
    assert "holds Python's os.mkdir, not a dict" in refusal(lambda: checkpoint.load(path))
    with pytest.raises(StoredError, match="a is Python's os.mkdir"):
        stored.digest({"a": stored.read(path)})


def long_directory(good: bytes) -> bytes:
    return good[:-10] + struct.pack("<L", 1 << 30) + good[-6:]


def test_bombs_and_other_files(tmp_path):
    path = tmp_path / "x.pt"

    def says(content: bytes | None = None) -> str:
        if content is not None:
            path.write_bytes(content)
        return refusal(lambda: stored.read(path))
    zipped(path, pickle.dumps(b"\0" * 30_000_000, 2), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000 and "is compressed" in says()
    good = zipped(path, tensor(), _0=bytes(16)).read_bytes()
    assert torch.equal(stored.read(path), torch.zeros(4)) and not says()
    assert "its directory has 1,073,741,824 bytes" in says(long_directory(good))
    assert "has no end" in says(good + b"more") and "no zip archive" in says(gzip.compress(good))
    assert "truncated, damaged" in says(good.replace(b"data/0", b"data/1", 1))
    assert "no zip archive" in says(b"")
    torch.save([1], path, _use_new_zipfile_serialization=False)
    assert "PyTorch before 1.6" in says()
    for parts, line in (({"data.pkl": b"\x80\x02N.", "byteorder": b"big"}, "byte order"),
                        ({"data.pkl": b"", "constants.pkl": b""}, "TorchScript"),
                        ({"x": b""}, "no data.pkl")):
        with zipfile.ZipFile(path, "w") as file:
            for name, content in parts.items():
                file.writestr(f"a/{name}", content)
        assert line in says()
    with zipfile.ZipFile(path, "w") as file, pytest.warns(UserWarning):
        file.writestr("a/data.pkl", b"1"), file.writestr("a/data.pkl", b"2")
    assert "two of its parts have one name" in says()


@pytest.mark.parametrize("value, says", [
    (2**63, "numbers below 2\\*\\*63"), (np.float64(1), "is a float64"), ({1, 2}, "is a set"),
    (torch.zeros(2).to_sparse(), "is a tensor"), ({2.5: 1}, "a key that is no text")], ids=str)
def test_what_cannot_be_written(value, says, tmp_path):
    with pytest.raises(CheckpointError, match=f"cannot write .*a\\['b'\\] .*{says}"):
        checkpoint.write(tmp_path / "x.pt", {"a": {"b": value}})
    itself = {}
    itself["a"] = itself
    with pytest.raises(CheckpointError, match="in one another"):
        checkpoint.write(tmp_path / "x.pt", itself)
    assert not list(tmp_path.iterdir())
