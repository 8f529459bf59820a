"""The native simulation program: Verilator's model in one process."""
