"""Every component and the core as Verilog, in Verilator, under cocotb, with stalls."""

import pytest
from amaranth.back import verilog

from sim.benches.parts import Parts
from sim.benches.runner import simulate

COMPONENTS = ("state_update", "block_update", "sampler", "lfsr", "state_engine", "ternary",
              "mixer", "fuse", "x_buffer", "encoder", "decoder", "layer")


@pytest.fixture(scope="module")
def parts():
    """All components and their Verilog: one build serves every bench."""
    component = Parts()
    return component, verilog.convert(component, name="parts", emit_src=False)


@pytest.mark.cosim
@pytest.mark.timeout(1800)      # the first one builds them all
@pytest.mark.parametrize("component", COMPONENTS)
def test_component(component, parts):
    """Two shapes of the component, free and stalled."""
    part, source = parts
    simulate(part, f"sim.benches.tb_{component}", "parts", source=source)
