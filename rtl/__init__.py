"""The streaming accelerator in Amaranth, generated from an artifact alone.

A core is also made just to read its latencies or its memory map; so modules that make components
tell Amaranth not to warn about components that are not used, in their first line.
"""
