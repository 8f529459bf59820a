"""The components of one layer."""
