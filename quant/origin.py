"""What the artifact of a shipped network was made from, so that a stale one is seen; no PyTorch.

The export keeps it under ``origin`` in the manifest's ``info``: sha256 of the checkpoint's file, of
its fine-tuned file and of the sources and libraries that computed, and the options it was given.
"""

import hashlib
import json
import sys
from pathlib import Path

from golden.base import made
from golden.base.options import SHIPPED


def tuned_of(checkpoint: Path) -> Path | None:
    """The fine-tuned weights shipped beside a shipped checkpoint, if there are any."""
    path = checkpoint.with_suffix(".qat.pt")
    return path if path.exists() else None


def versions() -> dict[str, str | None]:
    """Of the libraries that an export computes with; None: not installed."""
    return made.versions(made.KINDS["artifact"][1])


def _sha256(path: Path | None) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path and path.is_file() else None


def of(checkpoint: Path, tuned: Path | None, options: dict) -> dict:
    """What an export starts from; ``options``: those that were given, by name."""
    return {"network": checkpoint.stem if checkpoint.parent == SHIPPED else None,
            "checkpoint": _sha256(checkpoint), "fine_tuned": _sha256(tuned),
            "options": options, "sources": made.by("artifact")}


def read(folder: Path) -> dict | None:
    """The origin that an artifact tells, or None."""
    try:
        found = json.loads((Path(folder) / "manifest.json").read_text())["info"]["origin"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("options"), dict) else None


def stale(folder: Path, network: str, sampling: str | None) -> str | None:
    """Why an artifact of the network shipped as ``network`` has to be exported again, or None.

    None too for one made from a checkpoint or fine-tuned weights of the user's own, where no such
    network is shipped, and where there is no PyTorch to export with.
    """
    checkpoint, then = SHIPPED / f"{network}.pt", read(folder)
    if not checkpoint.exists() or versions()["torch"] is None:
        return None
    if then is None:
        return f"{folder} does not say what it was made from"
    if then.get("network") is None:
        return None
    tuned = None if "no_qat" in then["options"] else tuned_of(checkpoint)
    now = of(checkpoint, tuned, then["options"])
    for part, words in (("network", f"was made from another network, {then['network']}"),
                        ("checkpoint", f"was made from another {checkpoint.name}"),
                        ("fine_tuned", f"was made from another {network}.qat.pt"),
                        ("sources", "was made by other sources or libraries")):
        if then.get(part) != now[part]:
            return f"{folder} {words}"
    if then["options"].get("sampling") != sampling:
        return f"{folder} has sampling {then['options'].get('sampling') or 'as trained'}"
    return None


def mention(command: str, folder: Path, network: str) -> None:
    """Say on stderr that a command takes an artifact that would be another one by now."""
    why = stale(folder, network, (read(folder) or {"options": {}})["options"].get("sampling"))
    if why:
        print(f"{command}: note: {why}; python -m quant.export makes it again", file=sys.stderr)
