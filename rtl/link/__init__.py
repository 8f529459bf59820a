"""The serial line that talks to a core on a board."""
