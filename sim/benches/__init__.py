"""Test benches of the components, in cocotb."""
