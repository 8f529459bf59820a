"""The psMNIST networks that are shipped."""

from pathlib import Path

from golden import checkpoint
from golden.base import cli


def shipped(names: list[str] | None = None) -> dict[str, Path]:
    """Checkpoints by file name: all of them, or those that are named."""
    found = {path.stem: path for path in sorted(checkpoint.SHIPPED.glob("psmnist*.pt"))
             if not path.stem.endswith(".qat")}
    unknown = [name for name in names or () if name not in found]
    if unknown:
        raise cli.UserError(f"no network {unknown[0]} is shipped; there are {', '.join(found)}")
    return {name: found[name] for name in names or found}
