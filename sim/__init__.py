"""Simulation of the generated hardware, and its comparison with the integer network."""

from sim.campaign import Options, run
from sim.report import Report

__all__ = ["Options", "Report", "run"]
