"""``python -m rtl.axi --artifact DIR --lanes P``: the core with AXI4-Stream ports, in Verilog.

Writes ``spikessm_axis.v``, a FuseSoC core file and the map of the memories; docs/integration.md has
an example of use.
"""

import argparse
import json
import sys
from pathlib import Path

from amaranth import Cat, ClockDomain, ClockSignal, Module, Mux, ResetSignal, Shape, Signal, Value
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.base import cli
from golden.base.names import slug
from golden.base.options import add_artifact, build
from quant.integer import artifact
from quant.integer.artifact import Artifact
from rtl.parts.config import HardwareConfig
from rtl.plan import chosen_lanes
from rtl.core import Core
from rtl.generate import memory_map, write_design

NAME = "spikessm_axis"
WORD = 32


def result_words(art: Artifact) -> int:
    """Beats of a result packet: the label, two per logit, one per saturation count."""
    return 1 + 2 * art.outputs + len(art.blocks) + 1


def result_layout(art: Artifact) -> list[str]:
    """What each beat of a result packet holds."""
    names = ["label"] + [f"logit {c}, {part} half" for c in range(art.outputs)
                         for part in ("low", "high")]
    return names + [f"saturations of layer {j}" for j in range(len(art.blocks))] + \
        ["saturations of the stream"]


class AxiCore(wiring.Component):
    """The core between AXI4-Streams; its own clock and reset pins.

    .. code-block:: text

        s_axis  ──► samples ──►(core)──► result ──► beats of 32 bits ──► m_axis
        cfg_axis ─► address, data, data, ... ─► configuration bus

    Parameters
    ----------
    art : Artifact
    hw : HardwareConfig

    Members
    -------
    aclk, aresetn : ``In(1)``
        Everything is synchronous to ``aclk``; ``aresetn`` is active low and synchronous too.
    s_axis_tdata, s_axis_tvalid, s_axis_tready, s_axis_tlast : samples
        One a beat, in the lowest bits (whole bytes); ``tlast`` with a sequence's last one.
    m_axis_tdata, ... : results
        A packet of :func:`result_words` beats of 32 bits: label, logits as 64-bit numbers, low half
        first, saturation counts.
    cfg_axis_tdata, ... : configuration
        A packet is an address and the words from there on. It waits until no sequence is inside,
        and sequences wait until its ``tlast``.

    Timing
    ------
    The core's. A result is sent in :func:`result_words` cycles, while the core works on.

    Resources
    ---------
    The core's, and a multiplexer over the result's bits.
    """

    def __init__(self, art: Artifact, hw: HardwareConfig):
        self.art, self.core = art, Core(art, hw)
        value = self.core.i.payload.value
        self.sample_bits = Shape.cast(value.shape()).width
        width = 8 * -(-self.sample_bits // 8)

        def stream(prefix: str, bits: int, taken, given) -> dict:
            return {f"{prefix}_tdata": taken(bits), f"{prefix}_tvalid": taken(1),
                    f"{prefix}_tready": given(1), f"{prefix}_tlast": taken(1)}

        super().__init__({"aclk": In(1), "aresetn": In(1)} | stream("s_axis", width, In, Out)
                         | stream("m_axis", WORD, Out, In) | stream("cfg_axis", WORD, In, Out))

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.d.comb += [ClockSignal("sync").eq(self.aclk), ResetSignal("sync").eq(~self.aresetn)]
        m.submodules.core = core = self.core
        i, o = core.i, core.o

        # A sequence is inside from its first sample to its result's transfer.
        inside, within, open_ = Signal(range(core.max_in_flight + 2)), Signal(), Signal()
        taken, given = i.valid & i.ready, o.valid & o.ready
        admit = within | (~open_ & ~self.cfg_axis_tvalid)
        with m.If(taken):
            m.d.sync += within.eq(~i.payload.last)
        m.d.sync += inside.eq(inside + (taken & ~within) - given)
        m.d.comb += [i.payload.value.eq(self.s_axis_tdata), i.payload.last.eq(self.s_axis_tlast),
                     i.valid.eq(self.s_axis_tvalid & admit),
                     self.s_axis_tready.eq(i.ready & admit)]

        address, at = Signal(24), Signal(range(result_words(self.art)))
        spacing = core.plan.spacing
        wait = Signal(range(spacing))       # until the core has made what it makes of a word
        with m.If(core.cfg.en):
            m.d.sync += wait.eq(spacing - 1)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        m.d.comb += [self.cfg_axis_tready.eq((inside == 0) & (wait == 0)),
                     core.cfg.addr.eq(address), core.cfg.data.eq(self.cfg_axis_tdata)]
        with m.If(self.cfg_axis_tvalid & self.cfg_axis_tready):
            m.d.sync += [open_.eq(~self.cfg_axis_tlast),
                         address.eq(Mux(open_, address + 1, self.cfg_axis_tdata))]
            m.d.comb += core.cfg.en.eq(open_)

        final = result_words(self.art) - 1
        m.d.comb += [self.m_axis_tvalid.eq(o.valid), self.m_axis_tlast.eq(at == final),
                     self.m_axis_tdata.eq(self._words().word_select(at, WORD)),
                     o.ready.eq(self.m_axis_tready & self.m_axis_tlast)]
        with m.If(o.valid & self.m_axis_tready):
            m.d.sync += at.eq(Mux(self.m_axis_tlast, 0, at + 1))
        return m

    def _words(self) -> Value:
        """The result packet's beats, signed numbers extended."""
        result = self.core.o.payload
        values = [(result.label, WORD), *((logit, 2 * WORD) for logit in result.logits),
                  *((count, WORD) for count in result.saturations)]
        parts = []
        for value, bits in values:
            value = Value.cast(value)
            top = value[-1] if value.shape().signed else 0
            parts += [value, *[top] * (bits - len(value))]
        return Cat(parts)


def fusesoc(art: Artifact) -> str:
    """A FuseSoC core file (CAPI 2) for the Verilog beside it."""
    return f"""CAPI=2:
name: ::{NAME}:0.1.0
description: Spiking state space network of task {art.task}, artifact {artifact.digest(art)}

filesets:
  rtl:
    files: [{NAME}.v]
    file_type: verilogSource

targets:
  default: &default
    filesets: [rtl]
    toplevel: {NAME}
  lint:
    <<: *default
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
        verilator_options: [-Wno-fatal, -Wno-lint]
"""


def generate(art: Artifact, hw: HardwareConfig, out: Path) -> Path:
    """Write Verilog, core file and memory map to folder ``out``; returns the Verilog's path.

    Raises :class:`rtl.parts.config.HardwareError` when artifact and ``hw`` do not fit, or ``out``
    cannot be written.
    """
    top = AxiCore(art, hw)
    facts = memory_map(top.core.plan) | {"result_words": result_layout(art)}
    text = verilog.convert(top, name=NAME, emit_src=False)
    files = {"memory_map.json": json.dumps(facts, indent=1) + "\n", f"{NAME}.core": fusesoc(art),
             f"{NAME}.v": text}
    return write_design(out, files) / f"{NAME}.v"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rtl.axi",
                                     description=__doc__.split("\n\n")[1])
    add_artifact(parser)
    parser.add_argument("--lanes", type=int, metavar="P",
                        help="complex modes per cycle and layer; default: the most up to "
                        f"{HardwareConfig.lanes} that fit")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="default: build/rtl/<task>_<lanes>_axis")
    args = parser.parse_args(argv)
    return cli.code("rtl.axi", lambda: make(args))


def make(args: argparse.Namespace) -> None:
    """Generate what the options say."""
    art = artifact.load(args.artifact)
    lanes = chosen_lanes(art, args.lanes)
    hw = HardwareConfig(lanes, signature=False)
    path = generate(art, hw, args.out or build("rtl", f"{slug(art.task)}_{hw.lanes}_axis"))
    print(f"{path}: a result has {result_words(art)} beats of {WORD} bits; {NAME}.core and the "
          f"memory map are beside it")


if __name__ == "__main__":
    sys.exit(main())
