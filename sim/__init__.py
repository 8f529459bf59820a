"""Simulation of the generated hardware, and its comparison with the integer network."""

from sim.campaign import Options, Report, run

__all__ = ["Options", "Report", "run"]
