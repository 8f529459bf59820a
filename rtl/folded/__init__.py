"""One engine and one mixer for all layers of a network."""
