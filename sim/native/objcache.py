"""A compiler wrapper that keeps the objects of Verilator's run-time library.

The library takes several times as long to compile as a small core, and is the same for all. make
gets this as ``OBJCACHE``: ``python objcache.py ROOT FOLDER c++ ... -c [-o OBJECT] SOURCE.cpp``. A
source below ROOT/include is compiled once per command and kept in FOLDER; any other command just
runs.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def main(root: str, folder: str, *command: str) -> int:
    sources = [Path(word) for word in command if word.endswith(".cpp")]
    library = Path(root) / "include"
    if "-c" not in command or len(sources) != 1 or library not in sources[0].parents:
        return subprocess.run(command).returncode
    target = Path(command[command.index("-o") + 1] if "-o" in command else f"{sources[0].stem}.o")
    stamp = sources[0].stat()
    key = hashlib.sha256("\0".join([*command, str(stamp.st_mtime_ns), str(stamp.st_size)]).encode())
    kept = Path(folder) / f"{target.stem}-{key.hexdigest()[:16]}.o"
    if not kept.exists():
        code = subprocess.run(command).returncode
        if code:
            return code
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        shutil.copyfile(target, part)
        part.replace(kept)
    shutil.copyfile(kept, target)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
