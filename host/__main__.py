"""``python -m host run|upload|identify|serve|latency``: boards, real or not, on a serial line.

run: test sequences through the board, each answer compared with the integer network. upload:
another network of the same shape, no synthesis. identify: who is there. serve: a simulated board as
a serial port for other programs. latency: how long a sequence takes, no board needed. Exit code 1:
an answer differs; 2: a wrong input, or no board.
"""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from golden.base import cli, made
from golden.base.cli import UserError
from golden.base.files import write_json
from golden.base.options import (add_artifact, add_data_dir, add_net, add_task, numbers,
                                 positive)
from golden.tasks import make_task
from host import latency, run, session
from host.session import SIM
from quant.integer import artifact
from quant.integer.sampling import FORMS
from rtl.boards import estimate
from rtl.boards.board import add_rates
from rtl.boards.catalogue import BOARDS
from rtl.families import add_mixer
from rtl.link.protocol import LONG_SEED
from rtl.parts.config import add_folded, add_spram
from sim import inputs


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("host", description=__doc__.split("\n\n")[1])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (("run", "test sequences, compared with the integer network"),
                       ("upload", "another network into the board"),
                       ("identify", "bitstream and model of the board"),
                       ("serve", "a simulated board as a serial port, until interrupted"),
                       ("latency", "how long a sequence takes on a board, from its bytes and "
                        "cycles")):
        sub = commands.add_parser(name, help=text)
        add_task(sub, required=name != "identify")
        add_net(sub)
        sub.add_argument("--sampling", choices=FORMS,
                         help="how spikes are drawn; default: as the network was trained")
        add_artifact(sub, "build/artifacts/<task>[.<net>], exported if it is missing or "
                     "was made from other files than now")
        add_data_dir(sub)
        if name == "latency":
            add_board_options(sub)
            continue
        session.add_port_options(sub, real=name != "serve")
        if name == "run":
            which = sub.add_mutually_exclusive_group()
            which.add_argument("-n", type=positive, metavar="N",
                               help="the first N test sequences (default 20)")
            which.add_argument("--indices", type=numbers, metavar="17,4242")
            sub.add_argument("--seed", type=positive,
                             help="of the random words; default: the artifact's")
            sub.add_argument("--votes", type=positive, default=1, metavar="K",
                             help="runs of each sequence under different seeds, logits summed")
            sub.add_argument("--upload", action="store_true",
                             help="upload the network first if the board has another one")
            sub.add_argument("--json", type=Path, metavar="FILE", help="write the result")
    return parser.parse_args(argv)


def add_board_options(parser: argparse.ArgumentParser) -> None:
    """Which board, as ``python -m rtl.boards`` would build it, and for how many sequences."""
    parser.add_argument("--board", choices=BOARDS, required=True)
    add_rates(parser)
    parser.add_argument("--lanes", type=positive, metavar="P",
                        help="complex modes per cycle and layer; default: the most that fit")
    add_mixer(parser)
    add_folded(parser)
    add_spram(parser)
    parser.add_argument("-n", type=positive, metavar="N", default=20,
                        help="the first N test sequences, on average (default %(default)s)")
    parser.add_argument("--votes", type=positive, default=8, metavar="K",
                        help="runs of each sequence under different seeds (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result")


def load(args: argparse.Namespace):
    """Task and artifact of the options."""
    args.seed = getattr(args, "seed", None)
    task = make_task(args.task)
    return task, inputs.network(args, task)


def run_sequences(args: argparse.Namespace) -> int:
    task, art = load(args)
    split = task.load("test", args.data_dir)
    chosen = np.array(args.indices if args.indices else range(args.n or min(20, len(split))))
    if chosen.max() >= len(split):
        raise UserError(f"the test set of {args.task} has sequences 0..{len(split) - 1}, not "
                        f"{chosen.max()}")
    examples = split.take(chosen)
    part, numbers = examples.sequences(), inputs.flat(chosen, art)
    seeds = run.seeds_of(art, args.seed, args.votes)
    noise = None
    with session.opened(args, art) as (board, simulation):
        hint = f"python -m host upload --task {args.task} --port {args.port}, or run --upload"
        if args.upload and board.fits(art) and \
                board.registers()["model"].hex() != artifact.digest(art):
            session.progress(f"uploaded {session.upload(board, art)} words")
        board.expect(art, hint)
        tally = run.compare(board, art, part, numbers, seeds)
        classes = tally.classes(part, numbers, len(seeds))
        row = run.summary(board, examples, tally, classes, seeds, args)
        if simulation:
            noise = asdict(simulation.close())
    run.show(row, noise)
    if args.json:
        write_json(args.json, row | {"noise": noise, "commit": made.commit()})
    if tally.first:
        print(f"host: DIFFERENT, first difference: {tally.first}", file=sys.stderr)
    return int(tally.first is not None)


def upload(args: argparse.Namespace) -> int:
    _, art = load(args)
    with session.opened(args, art) as (board, _):
        words = session.upload(board, art)
        board.expect(art, "once more")
    print(f"{words} words written; {args.port} has {artifact.digest(art)} ({art.task})")
    return 0


def identify(args: argparse.Namespace) -> int:
    if args.port == SIM and not args.task:
        raise UserError("--port sim needs --task: which board is simulated")
    art = load(args)[1] if args.task else None
    with session.opened(args, art) as (board, _):
        who, registers = board.identity, board.registers()
    model, seed = registers.pop("model"), registers.pop("seed")
    said = "a master seed of more than 32 bits" if seed == LONG_SEED else f"master seed {seed}"
    whole = f"model {model.hex()}, {said}" if any(model) else "no whole model"
    print(f"{args.port}: {who.task}: {who}\nlink version {who.version}, built with "
          f"{who.model.hex()}; now {whole}\n"
          + ", ".join(f"{name} {value}" for name, value in registers.items()))
    return 0


def serve(args: argparse.Namespace) -> int:
    _, art = load(args)
    with session.simulate(args, art) as running:
        print(running.port, flush=True)
        session.progress("stop it with Ctrl-C")
        running.wait()
    return 0


def times(args: argparse.Namespace) -> int:
    board = replace(BOARDS[args.board].running(args.clock, args.baud), mixer=args.mixer,
                    folded=args.folded, single_ports=args.spram)
    task, art = load(args)
    board, lanes = estimate.choose(board, art, args.lanes)
    split = task.load("test", args.data_dir)
    part = split.take(np.arange(min(args.n, len(split)))).sequences()
    row = latency.measure(art, board, lanes,
                          [values[:length] for values, length in zip(part.values, part.lengths)],
                          run.seeds_of(art, None, args.votes))
    latency.show(row)
    if args.json:
        write_json(args.json, row | {"commit": made.commit()})
    return 0


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    command = {"run": run_sequences, "upload": upload, "identify": identify, "serve": serve,
               "latency": times}
    return command[args.command](args)


if __name__ == "__main__":
    cli.run("host", main)
