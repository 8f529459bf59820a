"""Simulation of the generated hardware, and its comparison with the integer network."""

from golden.base import cli

cli.guard()

from sim.campaign import Options, run
from sim.report import Report

__all__ = ["Options", "Report", "run"]
