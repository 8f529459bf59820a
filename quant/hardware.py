"""Whether hardware can have a network, asked of the RTL's own program: the RTL imports quant, not
the other way about."""

import subprocess
import sys
import tempfile
from pathlib import Path

from quant.integer import artifact
from quant.integer.artifact import Artifact
from quant.tune.fit import ExportError

PROGRAM = "rtl.check"


def check(art: Artifact) -> str:
    """What the network needs in hardware; :class:`ExportError` with what the RTL lacks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "artifact"
        artifact.save(art, path)
        done = subprocess.run([sys.executable, "-m", PROGRAM, "--artifact", str(path), "--task",
                               art.task], capture_output=True, text=True)
    said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
    if done.returncode:
        raise ExportError(said.removeprefix(f"{PROGRAM}: ") + "; without --hardware it is exported "
                          "all the same")
    return done.stdout.strip()
