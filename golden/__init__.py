"""The PyTorch golden model: P-SpikeSSM, its tasks, training and evaluation."""

from golden.base import cli

cli.guard()

from golden.base import caches

caches.keep()
