"""Commands of ``bench`` run in the tests' own process."""

import sys
from functools import partial

import pytest

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
def command(monkeypatch, request):
    """``command(*arguments)`` runs the module that the test file names as ``MODULE``."""
    return partial(run, monkeypatch, request.module.MODULE)
