"""Open tools around the RTL: synthesis, placement, harness."""
