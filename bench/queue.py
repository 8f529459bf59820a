"""A list of trainings, worked through at low priority: ``python -m bench.queue FILE.toml``.

Every training is a process of its own with one thread and, by default, the lowest priority. Killed
at any moment, the queue is called again and goes on: a training continues from its own ``last.pt``,
with the same weights as without the interruption. ``--status`` only prints where each one stands;
``--keep`` copies what the trainings need to go on into the list's folder ``kept``, from where
another machine goes on.
"""

import argparse
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.trainings import Queue, Training, read, table
from golden.base import cli
from golden.base.options import add_build, add_data_dir, positive

POLL = 1.0              # seconds between two looks at the processes
PR_SET_PDEATHSIG = 1    # prctl's number, <linux/prctl.h>


def lock(folder: Path):
    """The open lock file of a folder of trainings; every training holds it too.

    Raises ``UserError`` while another queue, or a training that it left behind, has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / "queue.lock", "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise cli.UserError(f"another queue, or a training of one, works in {folder}; wait for "
                            f"it, or stop it first") from None
    return file


def _humble(parent: int, nice: int) -> None:
    """In a training's process: a low priority, and no longer alive than the queue."""
    os.nice(nice)
    try:                    # where a session's processes share, the session's priority counts
        with open("/proc/self/autogroup", "w") as group:
            group.write(str(nice))
    except OSError:
        pass
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:      # it ended before the call
            os._exit(1)


def start(training: Training, queue: Queue, data_dir: str | None, held) -> subprocess.Popen:
    """Begin a training, or go on with it; what it prints is added to ``train.txt``."""
    out = queue.out(training)
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "golden.train", "--out", str(out), "--resume", "--device",
               "cpu", "--threads", str(queue.threads), *training.options(queue)]
    if data_dir:
        command += ["--data-dir", data_dir]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), str(queue.threads))
    parent = os.getpid()
    with open(out / "train.txt", "a") as said:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                                env=os.environ | threads, pass_fds=(held.fileno(),),
                                start_new_session=True,
                                preexec_fn=lambda: _humble(parent, queue.nice))


def reason(training: Training, queue: Queue, code: int) -> str:
    """Why a training ended with an exit code that is not 0: the last line it printed."""
    said = (queue.out(training) / "train.txt").read_text(errors="replace").splitlines()
    last = next((line for line in reversed(said) if line.strip()), "it printed nothing")
    return f"exit code {code}: {last.split(chr(13))[-1].strip()}"


def work(queue: Queue, data_dir: str | None, held) -> dict[str, str]:
    """Train until nothing is left that can be; returns why trainings failed, by name."""
    running: dict[str, subprocess.Popen] = {}
    failed: dict[str, str] = {}
    try:
        while True:
            for name, process in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[name]
                if code:
                    failed[name] = reason(queue.named(name), queue, code)
                tell(name, failed.get(name, "done"))
            for training in queue.ready(running, failed):
                if len(running) == queue.jobs:
                    break
                if queue.restore(training):
                    tell(training.name, f"kept in {queue.kept}")
                tell(training.name, "begins" if queue.standing(training).epoch is None else
                     "goes on")
                running[training.name] = start(training, queue, data_dir, held)
            if not running:
                return failed
            time.sleep(POLL)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def tell(name: str, what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {name}: {what}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser("bench.queue", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE.toml",
                        help="the list, such as bench/trainings.toml")
    parser.add_argument("--jobs", type=positive, help="trainings side by side; default: the "
                        "file's")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="these trainings alone; may be given more than once")
    add_data_dir(parser)
    add_build(parser)
    parser.add_argument("--status", action="store_true", help="print the table, train nothing")
    parser.add_argument("--keep", action="store_true", help="copy the trainings' state into the "
                        "list's folder `kept`, train nothing")
    args = parser.parse_args()
    queue = read(args.file, args.jobs, args.only)
    if args.status:
        cli.console().print(table(queue, {}))
        return
    if args.keep:
        print(f"{queue.kept}: {', '.join(queue.keep()) or 'nothing to keep'}")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # trainings are ended, too
    with lock(queue.folder) as held:
        failed = work(queue, args.data_dir, held)
    cli.console().print(table(queue, failed))
    if failed:
        raise cli.UserError(f"{len(failed)} of {len(queue.wanted)} trainings failed: "
                            + "; ".join(f"{name}: {why}" for name, why in failed.items()))


if __name__ == "__main__":
    cli.run("bench.queue", main)
