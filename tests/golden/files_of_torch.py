"""Files of ``torch.save`` for tests: small checkpoints, and zips with a pickle written by hand."""

import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from golden import checkpoint, tasks
from golden.base.cli import UserError
from golden.model.config import PaperConfig
from golden.model.network import Network

CFG = PaperConfig(n_classes=10, n_blocks=1, d_model=4, d_state=2)


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network(CFG)


def small(path: Path, **changes) -> Path:
    """A checkpoint of few numbers; ``changes`` of its content, None: without that key."""
    net = network()
    checkpoint.save(path, net, tasks.make_task("digits"), {"note": "a test"})
    if changes:
        content = checkpoint.read(path) | changes
        unsafe(path, {key: value for key, value in content.items() if value is not None})
    return path


def unsafe(path: Path, content: object) -> Path:
    """``torch.save`` of anything; sealed where that is possible."""
    try:
        checkpoint.write(path, content)
    except (checkpoint.CheckpointError, AttributeError, TypeError):
        torch.save(content, path)
    return path


def zipped(path: Path, pickle: bytes, compress: int = zipfile.ZIP_STORED, **data: bytes) -> Path:
    """A file as ``torch.save`` makes it, around a pickle; ``data`` are tensors' bytes by key."""
    with zipfile.ZipFile(path, "w", compress) as file:
        for name, content in {"data.pkl": pickle, "byteorder": b"little", "version": b"3\n",
                              **{f"data/{key[1:]}": value for key, value in data.items()}}.items():
            file.writestr(f"archive/{name}", content)
    return path


def flips(path: Path, each: int, seed: int) -> Iterator[bytes]:
    """The file with one bit changed: ``each`` seeded places in every region of it.

    Regions are each member's header, padding and content, the directory and the end.
    """
    good, rng = path.read_bytes(), np.random.default_rng(seed)
    ends = {0, len(good), len(good) - 22, len(good) - 98}
    with zipfile.ZipFile(io.BytesIO(good)) as file:
        ends.add(file.start_dir)
        for info in file.infolist():
            name, extra = struct.unpack_from("<HH", good, info.header_offset + 26)
            begin = info.header_offset + 30 + name + extra
            ends |= {info.header_offset, begin - extra, begin, begin + info.file_size}
    regions = sorted(ends)
    for first, last in zip(regions, regions[1:]):
        for at in rng.integers(8 * first, 8 * last, each):
            bad = bytearray(good)
            bad[at // 8] ^= 1 << int(at) % 8
            yield bytes(bad)


def refusal(call) -> str:
    """The one line with which ``call()`` is refused; "": it is not."""
    try:
        call()
    except UserError as error:
        line = str(error)
        assert "\n" not in line and len(line) < 700, line
        return line
    return ""
