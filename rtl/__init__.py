"""The streaming accelerator in Amaranth, generated from an artifact alone."""

from golden.base import cli

cli.guard()
