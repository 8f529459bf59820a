"""The streaming accelerator in Amaranth, generated from an artifact alone."""
