"""Names that make, a shell and Verilator can read, for folders whose own names they cannot.

make splits at spaces and refuses to work in a path that has one, and Verilator's makefiles name its
library and cocotb's without quotes. What they read of such a folder gets a symbolic link below the
folder for temporary files, and what they write is made there first.
"""

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from golden.base import folders
from golden.base.cli import UserError

PLAIN = re.compile(r"[A-Za-z0-9_./+@,=-]+")


@lru_cache(maxsize=None)
def plain(folder: Path) -> Path:
    """``folder``, or a link to it that has no spaces and no signs with a meaning.

    The link is the same for every process of a user, as names of kept objects depend on it. Raises
    ``UserError`` where no folder for temporary files can hold it.
    """
    folder = Path(folder).absolute()
    if PLAIN.fullmatch(str(folder)):
        return folder
    link = _home() / hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    if not link.is_symlink() or os.readlink(link) != str(folder):
        fresh = link.with_name(uuid.uuid4().hex)
        fresh.symlink_to(folder)
        fresh.replace(link)
    return link


@contextlib.contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Where make is to fill the new ``folder``: itself, or a place that is copied to it then."""
    if PLAIN.fullmatch(str(folder)):
        yield folder
        return
    with folders.fresh(_home(), folder.name.strip(".")) as place:
        yield place
        shutil.copytree(place, folder, dirs_exist_ok=True)


def _home() -> Path:
    """This user's folder of links; nobody else can have put one there."""
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        home = Path(place, f"spikessm-{os.getuid()}")
        if not PLAIN.fullmatch(str(home)):
            continue
        try:
            home.mkdir(mode=0o700, exist_ok=True)
            found = home.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o22:
            return home
    raise UserError("the path of this environment has a space or another sign that make cannot "
                    "read, and no folder for temporary files can hold a link to it; set $TMPDIR to "
                    "a folder of yours whose path is made of letters, digits and / . _ -")
