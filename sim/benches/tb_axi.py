"""cocotb bench of rtl.axi with cocotbext-axi: sequences, results and configuration, all stalled.

``SIM_KIND`` says of which kind the two networks are, see ``quant.integer.synthetic``.
"""

import os
import random
from dataclasses import replace

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from quant.integer import reference
from quant.integer.artifact import Artifact
from golden.tasks.formats import MU_LAW
from quant.integer.synthetic import random_artifact
from rtl.axi import result_words
from rtl.parts.config import HardwareConfig
from rtl.plan import plan

SIX_BITS = replace(MU_LAW, f_bits=5)    # signed samples, less than the byte that carries one
SHAPE = dict(n_layers=2, H=4, n=2, n_classes=3, length=20, stress=0.2, sample=SIX_BITS)
HW = HardwareConfig(2, signature=False)
LENGTHS = (20, 1, 3, 1, 12, 5)


def networks(kind: str) -> tuple[Artifact, Artifact]:
    """The one of the core and another one of its shape."""
    return random_artifact(1, kind=kind, **SHAPE), random_artifact(2, kind=kind, **SHAPE)


ART, OTHER = networks(os.environ.get("SIM_KIND", "paper"))


def pauses(share: float, seed: int):
    """Random pauses for one side of a stream."""
    rng = random.Random(seed)
    while True:
        yield rng.random() < share


def beats(values) -> bytes:
    """Samples as bytes; what is above a sample's bits does not matter, so half of them differ."""
    return bytes((int(v) ^ (t % 2) << SIX_BITS.width) & 0xFF for t, v in enumerate(values))


def packet(trace: reference.Trace) -> bytes:
    """The result packet of a reference trace."""
    return b"".join([int(trace.label).to_bytes(4, "little"),
                     *(int(logit).to_bytes(8, "little", signed=True) for logit in trace.logits),
                     *(int(count).to_bytes(4, "little") for count in trace.saturations)])


def config_frames(art) -> list[bytes]:
    """Configuration packets that load a network: a run of consecutive addresses each."""
    frames, following = [], None
    for address, word in plan(art, HW).writes():
        if address != following:
            frames.append(address.to_bytes(4, "little"))
        frames[-1] += word.to_bytes(4, "little")
        following = address + 1
    return frames


@cocotb.test()
@cocotb.parametrize(share=[0.0, 0.5])
async def matches_reference(dut, share: float):
    Clock(dut.aclk, 10, unit="ns").start()
    reset = dut.aresetn
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, reset, False)
    config = AxiStreamSource(AxiStreamBus.from_prefix(dut, "cfg_axis"), dut.aclk, reset, False)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, reset, False)
    if share:
        for j, end in enumerate((source, config, sink)):
            end.set_pause_generator(pauses(share, 10 + j))
    reset.value = 0
    for _ in range(3):
        await RisingEdge(dut.aclk)
    reset.value = 1

    rng = np.random.default_rng(4)
    sequences = [rng.integers(SIX_BITS.lo, SIX_BITS.hi + 1, length) for length in LENGTHS]
    # The other network is offered while sequences are inside: it waits for them, the next ones
    # for it. The built-in one is given back at the end, for the next test.
    for art, following in ((ART, OTHER), (OTHER, ART)):
        for values in sequences:
            await source.send(AxiStreamFrame(beats(values)))
        for values in sequences:
            got = await with_timeout(sink.recv(), 200, "us")
            assert len(got.tdata) == 4 * result_words(art)
            assert bytes(got.tdata) == packet(reference.run(art, values)), len(values)
        for frame in config_frames(following):
            await config.send(AxiStreamFrame(frame))
        await with_timeout(config.wait(), 200, "us")
    for _ in range(20):         # a reset does not overtake the last write
        await RisingEdge(dut.aclk)


@cocotb.test()
async def configuration_waits_for_sequences(dut):
    """Offered in the middle of a sequence, a write changes nothing before its result."""
    Clock(dut.aclk, 10, unit="ns").start()
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, dut.aresetn, False)
    config = AxiStreamSource(AxiStreamBus.from_prefix(dut, "cfg_axis"), dut.aclk, dut.aresetn,
                             False)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, dut.aresetn, False)
    dut.aresetn.value = 0
    for _ in range(3):
        await RisingEdge(dut.aclk)
    dut.aresetn.value = 1
    values = np.random.default_rng(5).integers(SIX_BITS.lo, SIX_BITS.hi + 1, 20)
    await source.send(AxiStreamFrame(beats(values)))
    for _ in range(8):
        await RisingEdge(dut.aclk)
    for frame in config_frames(OTHER):
        await config.send(AxiStreamFrame(frame))
    await source.send(AxiStreamFrame(beats(values)))
    for art in (ART, OTHER):        # the last test: it leaves the other network inside
        got = await with_timeout(sink.recv(), 200, "us")
        assert bytes(got.tdata) == packet(reference.run(art, values))
