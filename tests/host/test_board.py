"""What a board is told and says of its seed, at a link that is a table of bytes."""

import contextlib
from dataclasses import replace
from types import SimpleNamespace

import pytest

from golden.base.qformat import SQ
from host import __main__ as program
from host.board import Board, ModelError
from quant.formats import LayerFormats
from quant.integer import lfsr
from quant.integer.adapt import adapt
from quant.integer.artifact import digest
from quant.integer.synthetic import random_artifact
from rtl.link import protocol as protocol
from rtl.parts.config import HardwareConfig
from rtl.link.identity import Identity
from rtl.link.protocol import Command
from rtl.plan import plan

SHAPE = dict(n_layers=2, H=2, n=2, n_classes=3, length=9, random=lfsr.LONG)
ART = random_artifact(1, **SHAPE)
SEED = 0x1234_89AB_CDEF


class Table:
    """A transport whose board keeps words by address and shows its own ones."""

    def __init__(self, planned):
        self.line = SimpleNamespace(port="table")
        self.bytes = bytearray(0x200)
        self.bytes[:64] = Identity.of(planned, 50e6).pack()
        self.words = {}

    def read(self, address, count):
        return bytes(self.bytes[address:address + count])

    def begin(self):
        pass

    def write(self, requests):
        for command, data in requests:
            at, data = int.from_bytes(data[:3], "little"), data[3:]
            if command == Command.CONFIG and at >= protocol.OWN_WORDS:
                at = protocol.REGISTERS + 4 * (at - protocol.OWN_WORDS)
                self.bytes[at:at + len(data)] = data
            elif command == Command.CONFIG:
                self.words |= {at + j: int.from_bytes(data[4 * j:4 * j + 4], "little")
                               for j in range(len(data) // 4)}


@pytest.fixture
def board():
    return Board(Table(plan(ART, HardwareConfig(2))))


@pytest.mark.parametrize("seed, register", [(77, 77), ((1 << 32) - 1, (1 << 32) - 1),
                                            (1 << 32, protocol.LONG_SEED),
                                            (SEED, protocol.LONG_SEED)])
def test_the_register_says_the_seed_or_that_it_is_long(board, seed, register):
    board.seed(ART, seed)
    assert board.registers()["seed"] == register
    regions = {region.name: region for region in board.plan(ART).regions}
    for layer, name, kind in ((0, "start_in", lfsr.SAMPLER_IN),
                              (1, "start_rounding", lfsr.ROUNDING)):
        region = regions[f"layer{layer}.{name}"]
        low, high = (board.transport.words[region.base + j] for j in range(2))
        stream = lfsr.stream_index(layer, kind)
        assert low | high << 32 == lfsr.stream_start(lfsr.LONG, seed, stream)


@pytest.mark.parametrize("seed, said", [(5, "master seed 5\n"), (
    SEED, "a master seed of more than 32 bits\n")])
def test_identify_says_the_uploaded_seed(board, monkeypatch, capsys, seed, said):
    art = replace(ART, seed=seed)
    list(board.upload(art))
    monkeypatch.setattr(program.session, "opened",
                        lambda args, art: contextlib.nullcontext((board, None)))
    assert program.main(["identify", "--port", "/dev/table"]) == 0
    assert f"now model {digest(art)}, {said}" in capsys.readouterr().out


def test_a_network_in_other_formats_is_shown_the_way(board):
    """A retrained one, whose export chose other formats; as ``host.adapt`` makes it, it fits."""
    other = random_artifact(2, **SHAPE, fmt=replace(LayerFormats(), g=SQ(3, 12)))
    for asked in (lambda: board.expect(other, "hint"), lambda: list(board.upload(other))):
        with pytest.raises(ModelError, match="sizes are equal, so its number formats.*host.adapt "
                                             "--artifact THIS --like THAT --out NEW"):
            asked()
    list(board.upload(adapt(other, ART)[0]))
    with pytest.raises(ModelError, match="lanes must be equal; build one for it: make bitstream"):
        board.expect(random_artifact(2, **SHAPE | {"n_classes": 4}), "hint")
