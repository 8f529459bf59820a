"""From the golden model to integers: formats, reference, quantisation-aware model, artifact."""

from golden.base import cli

cli.guard()
