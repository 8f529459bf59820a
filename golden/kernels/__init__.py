"""The arithmetic of training: samplers, fused steps, convolutions in chunks."""
