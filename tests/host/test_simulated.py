"""The host on a simulated board: serial pins, pseudo-terminal, protocol, noise, upload."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden.base import cli
from host import simulated
from host.board import Board, ModelError
from host.line import Line, LineError
from host.simulated import Noise, SimulatedBoard
from host.transport import Transport
from quant.integer import reference
from golden.tasks.formats import MU_LAW
from quant.integer.synthetic import random_artifact
from rtl.parts.config import HardwareConfig
from rtl.link.protocol import Command
from sim.tools import SimError

pytestmark = pytest.mark.cosim
SHAPE = dict(n_layers=2, H=4, n=2, n_classes=3, length=16_384, residual="clampfuse", stress=0.2,
             sample=MU_LAW)
ART, OTHER = random_artifact(1, **SHAPE), random_artifact(2, **SHAPE)
HW = HardwareConfig(2, signature=False, spread=False)      # not the default: the host must ask
LENGTHS = (40, 1, 7, 30, 2)
LIMIT = 5.0         # seconds until whatever is wrong has been said


@pytest.fixture(scope="module")
def program():
    return simulated.build(ART, HW, "-O0")


@contextlib.contextmanager
def says(error, match):
    """The body ends with this error, in time."""
    begin = time.monotonic()
    with pytest.raises(error, match=match):
        yield
    assert time.monotonic() - begin < LIMIT


def sequences(lengths=LENGTHS):
    rng = np.random.default_rng(1)
    return [rng.integers(-128, 128, length) for length in lengths]


def connect(board, patience=20.0):
    return Board(Transport(Line(board.port), patience))


def check(board, art, seed=None, lengths=LENGTHS):
    """Every answer equals the reference's, the cycles the prediction. Returns the answers."""
    values = sequences(lengths)
    predicted = board.predict(art, lengths)
    answers = list(board.run(values, predicted))
    seeded = art if seed is None else replace(art, seed=seed)
    for sequence, answer in zip(values, answers, strict=True):
        trace = reference.run(seeded, sequence)
        assert answer.label == trace.label
        assert answer.logits.tolist() == trace.logits.tolist()
        assert answer.saturations.tolist() == list(trace.saturations)
        assert answer.cycles == predicted[len(sequence)]
    return answers


def test_answers_seeds_and_upload(program):
    with SimulatedBoard(program) as running:
        board = connect(running)
        assert (board.identity.H, board.identity.lanes, board.identity.length) == (4, 2, 16_384)
        board.expect(ART, "hint")
        first = check(board, ART)
        board.seed(ART, 77)
        assert board.registers()["seed"] == 77
        second = check(board, ART, 77)
        assert [a.logits.tolist() for a in first] != [a.logits.tolist() for a in second]

        with says(ModelError, "upload it: python"):
            board.expect(OTHER, "python")
        *_, words = board.upload(OTHER)
        assert words == len(board.plan(OTHER).writes()) > 80
        board.expect(OTHER, "hint")
        check(board, OTHER)
        assert running.close().corrupted == 0
    counters = board.transport.counters
    assert counters.broken == 0 and counters.replies >= counters.sent - counters.repeated


def test_several_seeds_of_one_upload(program):
    """Each sequence is sent once, and answers under every seed as one that was sent for it."""
    values, seeds = sequences(), (ART.seed, 77, 78)
    with SimulatedBoard(program) as running:
        board = connect(running)
        predicted = board.predict(ART, LENGTHS)
        for number, chosen in enumerate((seeds, seeds[1:2])):
            answers = list(board.run(values, predicted,
                                     [board.seed_requests(ART, seed) for seed in chosen]))
            assert len(answers) == len(values) * len(chosen)
            for k, answer in enumerate(answers):
                sequence, seed = values[k // len(chosen)], chosen[k % len(chosen)]
                trace = reference.run(replace(ART, seed=seed), sequence)
                assert answer.logits.tolist() == trace.logits.tolist()
                assert answer.cycles == predicted[len(sequence)]
        assert board.registers()["seed"] == 77
        check(board, ART, 77)


# name: options, and options of networks that its bitstream cannot take
KINDS = {"glu": (dict(kind="glu"), [dict(fires_at_zero=False), dict(norm_position="post")]),
         "gsu": (dict(kind="gsu"), [dict(kind="glu"), dict(residual="none")]),
         "lif, alone": (dict(kind="lif", n=0), [dict(reset="zero")])}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_answers_and_takes_another_network(kind):
    """Coefficients, tables and thresholds are uploaded; what is no memory is refused."""
    options, others = KINDS[kind]
    shape = SHAPE | dict(length=64, residual="plain") | options
    art, other = random_artifact(1, **shape), random_artifact(2, **shape)
    with SimulatedBoard(simulated.build(art, HW, "-O0")) as running:
        board = connect(running)
        check(board, art)
        list(board.upload(other))
        board.expect(other, "hint")
        check(board, other)
        for more in others:
            wrong = random_artifact(2, **shape | more)
            with says(ModelError, "its sizes are equal, so its number formats or options are"):
                list(board.upload(wrong))
        board.expect(other, "hint")


def test_the_longest_sequence(program):
    """Every position of a buffer."""
    with SimulatedBoard(program) as running:
        check(connect(running), ART, lengths=(16_384, 3))


def test_noise(program):
    """A hundredth of the bytes changed and a hundredth lost, both ways: nothing else differs."""
    with SimulatedBoard(program, Noise(0.01, 0.01, seed=3)) as running:
        board = connect(running)
        list(board.upload(OTHER))
        check(board, OTHER)
        bad = board.registers()["bad"]
        ended = running.close()
    counters = board.transport.counters
    assert ended.corrupted > 10 and ended.dropped > 10
    assert counters.broken > 5 and counters.repeated > 5 and bad > 5


def test_interrupted_upload_leaves_no_model(program):
    with SimulatedBoard(program) as running:
        board = connect(running)
        next(board.upload(OTHER))
        with pytest.raises(LineError, match="another program has it open"):
            connect(running)
        board.transport.line.close()
        board = connect(running)
        with pytest.raises(ModelError, match="upload was not finished"):
            board.expect(ART, "hint")
        list(board.upload(ART))
        check(board, ART)


def test_a_session_after_one_that_broke_off(program):
    """A sequence is inside, half of the next is loaded: the next host finds an empty board."""
    with SimulatedBoard(program) as running:
        old = connect(running)
        old.transport.write([*old._load(np.arange(40)), (Command.RUN, b"\x28\0")])
        old.transport.write(old._load(np.arange(9)))
        old.transport.line.close()
        check(connect(running), ART)


def test_another_shape_is_refused(program):
    with SimulatedBoard(program) as running:
        board = connect(running)
        wider = random_artifact(1, **SHAPE | {"H": 6})
        with says(ModelError, "does not fit the bitstream.*lanes must be equal; build one for it"):
            list(board.upload(wider))
        with says(ModelError, "its bitstream cannot take"):
            board.expect(wider, "hint")
        board.expect(ART, "hint")


def test_wrong_rate(program):
    with SimulatedBoard(program) as running:
        with says(LineError, "is --baud the bitstream's"):
            Board(Transport(Line(running.port, 115200)))


def test_a_simulation_that_is_killed(program):
    with says(SimError, "ended with exit code -9"), SimulatedBoard(program) as running:
        running._process.kill()
        running.wait()


SERVE = """
import sys
from golden.base import cli
from host.simulated import SimulatedBoard

def serve():
    with SimulatedBoard(sys.argv[1]) as running:
        print(running.port, flush=True)
        running.wait()
cli.run("serve", serve)
"""


def test_ctrl_c_at_a_terminal(program):
    """The whole group gets it, as a terminal does it: the host ends the board, and says so."""
    running = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(program)], cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
        # What runs behind a shell is started without; a terminal's programs hear it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert running.stdout.readline().startswith("/dev/")
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (cli.INTERRUPTED, "serve: interrupted\n")


def test_unplugged(program):
    with SimulatedBoard(program) as running:
        board = connect(running)
        running.unplug()
        with says(LineError, "is gone"):
            list(board.run(sequences(), board.predict(ART, LENGTHS)))
