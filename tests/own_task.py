"""The commands of ``docs/own-task.md``, run as the page says; ``make own-task`` runs all of them.

In a folder whose path has a space, with a copy of the code that nobody can write to, which is the
home as well: what commands make can only go where they say.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "own-task.md").read_text()
BLOCKS = [block.splitlines() for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S)]
SHORT, LONG, RETRAINED = BLOCKS
PACKAGES = ("golden", "quant", "rtl", "sim", "host")
# For root, who may write everywhere: a mount that this command alone sees.
MOUNT = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && '
         'exec "$@"']


class Place:
    """The folders of a user: ``code``, which is not theirs, and ``mine``."""

    def __init__(self, folder: Path):
        self.code, self.mine = folder / "the code", folder / "my folder"
        for package in PACKAGES:
            shutil.copytree(ROOT / package, self.code / package,
                            ignore=shutil.ignore_patterns("__pycache__"))
        self.mine.mkdir()
        for kind, name in (("python", "my_tasks.py"), ("toml", "my_recipe.toml")):
            text, = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)
            (self.mine / name).write_text(text)
        self.begin = [*MOUNT, str(self.code)] if os.getuid() == 0 else []
        if self.begin and subprocess.run([*self.begin, "true"], capture_output=True).returncode:
            pytest.skip("root can write everywhere and may not mount here")
        for path in (self.code, *self.code.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        self.before = self.files()

    def files(self) -> dict[str, tuple]:
        """What is beside the code."""
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns)
                for path in self.code.rglob("*")}

    def run(self, line: str, **variables: str) -> tuple[int, str, str]:
        """Exit code and what was printed, of a command of the page."""
        python, *arguments = shlex.split(line)
        assert python == "python"
        env = {key: value for key, value in os.environ.items() if not key.startswith("SPIKESSM_")}
        paths = [*filter(None, [env.get("PYTHONPATH")]), str(self.code)]
        env |= {"PYTHONPATH": os.pathsep.join(paths), "HOME": str(self.code),
                "OMP_NUM_THREADS": "1"} | variables
        env.pop("XDG_CACHE_HOME", None)
        done = subprocess.run([*self.begin, sys.executable, *arguments], cwd=self.mine, env=env,
                              text=True, capture_output=True, timeout=1800)
        print(f"{line}\n{done.stdout}{done.stderr}")
        assert self.files() == self.before, f"{line} wrote beside the code"
        return done.returncode, done.stdout, done.stderr

    def good(self, line: str, **variables: str) -> str:
        """What a command printed that must end well."""
        code, out, err = self.run(line, **variables)
        assert code == 0, err
        return out + err


@pytest.fixture(scope="module")
def place():
    with tempfile.TemporaryDirectory(prefix="own task ", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        made = Place(Path(folder))
        yield made
        for path in (made.code, *made.code.rglob("*")):
            path.chmod(0o755)


def test_the_whole_page(place):
    for line in SHORT:
        place.good(line)
    simulated, host, bitstream, program, board = LONG
    assert "equal" in place.good(simulated)
    assert "4 of 4" in place.good(host)
    place.good(bitstream)
    code, _, err = place.run(program)           # no board here: the file it would load is named
    assert code == 2 and "openFPGALoader" in err and "ulx3s-12f_my_tasks-Louder_" in err
    code, _, err = place.run(board)
    assert code == 2 and "/dev/ttyUSB0" in err and len(err.strip().splitlines()) == 1
    shutil.copytree(place.mine / "build/artifacts/my_tasks-Louder", place.mine / "OLD")
    place.good(f"{SHORT[0]} --seed 1")
    adapt, upload = RETRAINED
    said = place.good(simulated)
    assert "was made from another best.pt: exporting" in said
    place.good(adapt)
    assert place.run(upload)[0] == 2
    assert "2 of 2" in place.good(upload.replace("/dev/ttyUSB0", "sim --built-for OLD -n 2"))
