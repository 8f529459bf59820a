"""How the frozen inputs were drawn: ``python -m tests.frozen.inputs DIR``.

``artifacts.zip`` holds artifacts of schema 1, ``checkpoints.zip`` networks in the form of a file of
``golden.checkpoint``, both as of the commit that added them. They are the record's inputs and are
never drawn again: this module goes when the code that it draws with does.
"""

import argparse
import io
import tempfile
import zipfile
from pathlib import Path

import torch

from quant import gated_artifact
from quant.integer import artifact
from tests.frozen import inputs_artifacts, inputs_networks

MADE = (2000, 1, 1, 0, 0, 0)        # of every member, so that equal content makes equal files


def pack(path: Path, members: dict[str, bytes]) -> None:
    """A zip file."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name, MADE), content, zipfile.ZIP_DEFLATED, 9)


def saved(name: str, art) -> dict[str, bytes]:
    """The two files of an artifact."""
    save = gated_artifact.save if hasattr(art, "mixer") else artifact.save
    with tempfile.TemporaryDirectory() as folder:
        return {f"{name}/{file.name}": file.read_bytes()
                for file in sorted(Path(save(art, Path(folder) / "a")).iterdir())}


def packed(content: dict) -> bytes:
    """What ``torch.save`` makes of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.frozen.inputs")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    arts = inputs_artifacts.artifacts()
    pack(folder / "artifacts.zip", {file: content for name, art in arts.items()
                                    for file, content in saved(name, art).items()})
    networks = inputs_networks.checkpoints()
    pack(folder / "checkpoints.zip", {f"{name}.pt": packed(content)
                                      for name, content in networks.items()})
    print(f"{len(arts)} artifacts, {len(networks)} networks")


if __name__ == "__main__":
    main()
