"""``python -m golden.released``."""

from golden.base import cli
from golden.released.configurations import main

if __name__ == "__main__":
    cli.run("golden.released", main)
