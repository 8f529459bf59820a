"""The streaming accelerator in Amaranth, generated from an artifact alone."""

import warnings

from amaranth.hdl import UnusedElaboratable

# A core is also made just to read its latencies and its memory map: that is no mistake.
warnings.filterwarnings("ignore", category=UnusedElaboratable)
