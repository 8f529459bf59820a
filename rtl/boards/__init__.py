"""Boards: pins, clocks and serial line around the core."""
