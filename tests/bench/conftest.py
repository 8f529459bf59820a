"""Commands of ``bench`` run in the tests' own process."""

import sys
from functools import partial

import pytest

from bench import kept
from golden.base import cli


def run(monkeypatch, module, *arguments) -> int:
    """Exit code of ``python -m`` the module with these arguments."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    try:
        cli.run(module.__name__, module.main)
    except SystemExit as end:
        return end.code
    return 0


@pytest.fixture
def no_data(monkeypatch):
    """The key of a measurement without its data, which a test need not have."""
    monkeypatch.setattr(kept, "of_data", lambda *given: "data")


@pytest.fixture
def command(monkeypatch, request):
    """``command(*arguments)`` runs the module that the test file names as ``MODULE``."""
    return partial(run, monkeypatch, request.module.MODULE)
