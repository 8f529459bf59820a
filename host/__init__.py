"""The program beside the board: it talks to real and simulated boards over the same serial line.

``python -m host run|upload|identify|serve|latency``; docs/host.md describes the line's protocol.
"""

from golden.base import cli

cli.guard()
