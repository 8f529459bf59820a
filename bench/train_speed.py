"""Speed of training against an FFT form and the released form: ``make bench-train``.

Times, in turns in one run, forward and backward of one SSM layer and of a whole step, in float32
with the same threads and heap settings; then the peak memory of each in a process of its own.
Writes ``build/bench_train.json``.

* ``chunked``: this project, ``golden.model.ssm.chunked_conv`` in the layout (H, C, M, B);
* ``fft``: the same network, its convolution by rfft and irfft of length 2 L in (H, B, L);
* ``released``: the released code's form (``bench.released_form``): DPLR kernel, (B, H, L) and back.
"""

if __name__ == "__main__":
    from golden.base import heap
    heap.restart_with_settings("bench.train_speed")

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numba
import torch
from rich.table import Table
from tqdm import tqdm

from bench import fft_form, released_form
from golden.base import cli
from golden.base.files import write_json
from golden.base.options import add_build, add_threads, build, positive
from golden.model.config import PaperConfig
from golden.model.network import Network, chunks
from golden.model.ssm import kernel

FORMS = ("chunked", "fft", "released")
SHAPES = {"small": (2, 128, 16, 64), "paper": (2, 400, 64, 64)}     # blocks, H, d_state, batch
L = 784


def layer(form: str, H: int, d_state: int, B: int):
    """One forward and backward of an SSM layer on given spikes, as a function without arguments."""
    ssm = Network(PaperConfig(n_classes=10, n_blocks=1, d_model=H, d_state=d_state)).blocks[0].ssm
    C, M = chunks(L)
    shape = {"chunked": (H, C, M, B), "fft": (H, B, L), "released": (B, H, L)}[form]
    s = (torch.rand(shape) > 0.7).float().requires_grad_()
    weight = torch.randn(shape)
    if form == "chunked":
        return lambda: ssm.convolve(s).backward(weight)
    if form == "fft":
        return lambda: fft_form.fft_conv(s, kernel(*ssm.discrete(), L)).backward(weight)
    conv = released_form.Convolution(H, d_state)
    return lambda: conv(s).backward(weight)


def step(form: str, n_blocks: int, H: int, d_state: int, B: int):
    """One training step of a whole network: forward, loss, backward, optimiser."""
    cfg = PaperConfig(n_classes=10, n_blocks=n_blocks, d_model=H, d_state=d_state)
    made = {"chunked": Network, "fft": fft_form.FFTNetwork, "released": released_form.Network}
    net = made[form](cfg)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    v, labels = torch.rand(B, L), torch.randint(0, 10, (B,))

    def run():
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(v), labels).backward()
        optimiser.step()
    return run


def timed(jobs: dict, repeats: int, bar) -> dict[str, list[float]]:
    """Wall seconds of each job, ``repeats`` times in turns after one warm-up."""
    found = {name: [] for name in jobs}
    for k in range(repeats + 1):
        for name, job in jobs.items():
            begin = time.perf_counter()
            job()
            if k:
                found[name].append(time.perf_counter() - begin)
            bar.update()
    return found


def peak_memory(form: str, shape: str, threads: int) -> int:
    """Bytes: the highest resident set of a process that makes three whole steps."""
    command = [sys.executable, "-m", "bench.train_speed", "--only", form, "--shape", shape,
               "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise cli.UserError(f"{' '.join(command[1:])} failed: {done.stderr.strip()[-300:]}")
    return int(done.stdout)


def measure(shape: str, repeats: int, threads: int, bar) -> dict:
    """Seconds (least and median) of layer and step, ratios to ``chunked``, peak memory."""
    n_blocks, H, d_state, B = SHAPES[shape]
    torch.manual_seed(0)
    row = {"blocks": n_blocks, "H": H, "d_state": d_state, "L": L, "batch": B, "forms": {}}
    times = {"layer": timed({f: layer(f, H, d_state, B) for f in FORMS}, repeats, bar),
             "step": timed({f: step(f, n_blocks, H, d_state, B) for f in FORMS}, repeats, bar)}
    for form in FORMS:
        row["forms"][form] = {"peak_bytes": peak_memory(form, shape, threads)}
        for what, seconds in times.items():
            row["forms"][form][what] = {
                "least_s": min(seconds[form]), "median_s": statistics.median(seconds[form]),
                "ratio": min(seconds[form]) / min(seconds["chunked"])}
    return row


def show(rows: dict[str, dict]) -> None:
    """The table of ratios."""
    table = Table(title="forward and backward, float32, times as chunked = 1")
    for name in ("shape", "form", "layer s", "layer", "step s", "step", "peak GiB"):
        table.add_column(name, justify="right")
    for row in rows.values():
        for form, r in row["forms"].items():
            table.add_row(f"{row['blocks']} x {row['H']}, {row['d_state']}", form,
                          f"{r['layer']['least_s']:.3f}", f"{r['layer']['ratio']:.2f}",
                          f"{r['step']['least_s']:.3f}", f"{r['step']['ratio']:.2f}",
                          f"{r['peak_bytes'] / 2 ** 30:.2f}")
    cli.console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser("bench.train_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, help="default: both")
    parser.add_argument("--repeats", type=positive, default=5)
    add_threads(parser)
    parser.add_argument("--json", type=Path, help="file for the results; default: "
                        "build/bench_train.json")
    add_build(parser)
    parser.add_argument("--only", choices=FORMS,
                        help="print the peak memory in bytes of three steps of one form")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    shapes = [args.shape] if args.shape else list(SHAPES)
    if args.only:
        run = step(args.only, *SHAPES[shapes[0]])
        for _ in range(3):
            run()
        status = Path("/proc/self/status").read_text()      # getrusage counts the parent's too
        print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024)
        return
    total = len(shapes) * 2 * len(FORMS) * (args.repeats + 1)
    with tqdm(total=total, unit="run", leave=False) as bar:
        rows = {shape: measure(shape, args.repeats, args.threads, bar) for shape in shapes}
    write_json(args.json or build("bench_train.json"), {"threads": args.threads, "shapes": rows})
    show(rows)


if __name__ == "__main__":
    cli.run("bench.train_speed", main)
