"""Simulation of the generated hardware, and its comparison with the integer network."""

from sim.campaign import Report, run

__all__ = ["Report", "run"]
