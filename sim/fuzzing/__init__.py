"""Random networks on random hardware."""
