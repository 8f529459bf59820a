"""Networks of the released P-SpikeSSM code."""
