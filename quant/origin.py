"""What the artifact of a shipped network was made from, so that a stale one is seen; no PyTorch.

The export keeps it under ``origin`` in the manifest's ``info``: sha256 of the checkpoint's file, of
its fine-tuned file and of the sources and libraries that computed, and the options it was given.
Of files that are not shipped also where they lie, seen from the artifact's folder.
"""

import hashlib
import os
import sys
from pathlib import Path

from golden.base import made
from golden.base.options import SHIPPED
from quant.integer.artifact import manifest

# Of quant.export, those that decide the integers.
OPTIONS = ("config", "coef_bits", "g_bits", "state_bits", "state_i_bits", "weight_bits", "p_bits",
           "decoder_bits", "input_bits", "factor_bits", "table_bits", "margin", "rounding",
           "sampling", "seed", "no_qat", "block", "one_format")


def tuned_of(checkpoint: Path) -> Path | None:
    """The fine-tuned weights shipped beside a shipped checkpoint, if there are any."""
    path = checkpoint.with_suffix(".qat.pt")
    return path if path.exists() else None


def versions() -> dict[str, str | None]:
    """Of the libraries that an export computes with; None: not installed."""
    return made.versions(made.KINDS["artifact"][1])


def _sha256(path: Path | None) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path and path.is_file() else None


def shipped(network: str) -> bool:
    """Whether there is a shipped network of this name."""
    return (SHIPPED / f"{network}.pt").exists()


def of(checkpoint: Path, tuned: Path | None, options: dict, folder: Path) -> dict:
    """What an export to ``folder`` starts from; ``options``: those that were given, by name."""
    files = {name: os.path.relpath(path, folder) for name, path in
             (("checkpoint", checkpoint), ("qat", tuned)) if path and path.parent != SHIPPED}
    return {"network": None if files else checkpoint.stem, "files": files,
            "checkpoint": _sha256(checkpoint), "fine_tuned": _sha256(tuned),
            "options": options, "sources": made.by("artifact")}


def own_files(folder: Path) -> dict[str, Path]:
    """The files of the user's own from which an artifact was made: ``checkpoint`` and ``qat``."""
    files = (read(folder) or {}).get("files")
    if not isinstance(files, dict) or not all(isinstance(path, str) for path in files.values()):
        return {}
    return {name: Path(os.path.normpath(folder / files[name])) for name in ("checkpoint", "qat")
            if name in files}


def read(folder: Path) -> dict | None:
    """The origin that an artifact tells, or None; ``ArtifactError`` for one that was edited."""
    if not (Path(folder) / "manifest.json").exists():
        return None
    info = manifest(folder).get("info")
    found = info.get("origin") if isinstance(info, dict) else None
    return found if isinstance(found, dict) and isinstance(found.get("options"), dict) else None


def stale(folder: Path, network: str, sampling: str | None) -> str | None:
    """Why an artifact of the network shipped as ``network`` has to be exported again, or None.

    One made from files of the user's own is compared with those. None too where there is no such
    network any more, which is said, and where there is no PyTorch to export with.
    """
    then, own = read(folder), own_files(folder)
    checkpoint = own.get("checkpoint", SHIPPED / f"{network}.pt")
    gone = [path for path in own.values() if not path.exists()]
    if gone:
        print(f"{folder} was made from {gone[0]}, which is gone: it stays as it is",
              file=sys.stderr)
    if gone or not checkpoint.exists() or versions()["torch"] is None:
        return None
    if then is None:
        return f"{folder} does not say what it was made from"
    if then.get("network") is None and not own:
        return None
    tuned = own.get("qat")
    if not own and "no_qat" not in then["options"]:
        tuned = tuned_of(checkpoint)
    now = of(checkpoint, tuned, then["options"], folder)
    qat = tuned.name if tuned else f"{network}.qat.pt"
    for part, words in (("network", f"was made from another network, {then['network']}"),
                        ("checkpoint", f"was made from another {checkpoint.name}"),
                        ("fine_tuned", f"was made from another {qat}"),
                        ("sources", "was made by other sources or libraries")):
        if then.get(part) != now[part]:
            return f"{folder} {words}"
    if then["options"].get("sampling") != sampling:
        return f"{folder} has sampling {then['options'].get('sampling') or 'as trained'}"
    return None
