"""The list of long tests names tests that exist; a run leaves out those and no others."""

import re
from pathlib import Path

from tests.conftest import LONG, is_long

HERE = Path(__file__).parent


def test_every_name_in_the_list_is_a_test():
    for name in LONG:
        file, _, function = name.partition("::")
        text = (HERE / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {function}\(", text, re.M), name


def test_parameters_belong_to_their_test_and_longer_names_do_not():
    assert is_long("tests/test_mutants.py::test_text_mutant[a tie fires]")
    assert is_long("tests/sim/test_pair.py::test_the_host")
    assert not is_long("tests/sim/test_pair.py::test_the_host_compares_the_head")
