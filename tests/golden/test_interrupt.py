"""Ctrl-C ends a command at once whatever it is doing; texts are UTF-8 whatever the locale."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim import tools
from sim.benches import runner

ROOT = Path(__file__).resolve().parents[2]
HEAD = "import time\nfrom pathlib import Path\nfrom golden.base import cli\n"
READY = "print('ready', flush=True)\n"
WAIT = "time.sleep(60)\n"
BODIES = {
    "waiting": READY + WAIT,
    "swallowed": READY + "try:\n    time.sleep(60)\nexcept BaseException:\n    pass\n" + WAIT,
    "swallowed often": READY + "for _ in range(3):\n    try:\n        time.sleep(60)\n"
                       "    except BaseException:\n        pass\n" + WAIT,
    "in a callback": "class Library:\n    def __del__(self):\n        " + READY + "        " + WAIT
                     + "x = Library()\ndel x\n" + WAIT,
    "in generated code": READY + f"exec({WAIT!r})\n",
    "cleaning up": READY + "try:\n    time.sleep(60)\nfinally:\n    time.sleep(0.7)\n"
                   "    Path('cleaned').touch()\n",
    "a thread goes on": "import threading\n"
                        "threading.Thread(target=time.sleep, args=(60,)).start()\n" + READY + WAIT}


@pytest.fixture
def command(tmp_path):
    """Starts ``python -m made.command``: some lines, in the import of its package or after."""
    def start(body: str, importing: bool = False, **variables: str) -> subprocess.Popen:
        folder = tmp_path / "made"
        folder.mkdir()
        (folder / "__init__.py").write_text(
            "from golden.base import cli\ncli.guard()\n" + (HEAD + body) * importing)
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        (folder / "command.py").write_text(f"{HEAD}def main():\n{lines}cli.run('made', main)\n")
        paths = [str(tmp_path), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return subprocess.Popen(
            [sys.executable, "-m", "made.command"], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | variables)
    return start


@pytest.mark.parametrize("importing", [False, True], ids=["running", "importing"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_interrupt_ends_a_command(command, body, importing, tmp_path):
    process = command(body, importing)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert time.monotonic() - began < 3         # on a machine that has nothing else to do: 1
    finally:
        process.kill()
    assert process.returncode == 130
    assert said in ("made: interrupted\n", "made.command: interrupted\n")
    assert (tmp_path / "cleaned").exists() == (body == BODIES["cleaning up"])


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_locale_without_utf8(command, locale):
    body = ("Path('page').write_text('± é')\nassert Path('page').read_bytes() == '± é'.encode()\n"
            "from rich.table import Table\ntable = Table('±')\ntable.add_row('é')\n"
            "cli.console().print(table)\n"
            "raise cli.UserError('no file ä')")
    process = command(body, LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    out, said = process.communicate(timeout=60)
    assert process.returncode == 2 and said == "made: no file \\xe4\n"
    assert out.isascii() and "|" in out and "\\xe9" in out


def test_an_interrupted_bench_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKESSM_BUILD", str(tmp_path))
    seen = []

    def interrupted(self, test_dir, **_):
        (test_dir / "half").touch()
        seen.append(test_dir)
        raise KeyboardInterrupt
    monkeypatch.setattr(runner, "build", lambda *_: tmp_path)
    monkeypatch.setattr(runner.PortsOnlyVerilator, "test", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.simulate(None, "sim.benches.tb_core", "core")
    assert seen and not list(tools.build_folder("runs").iterdir())
