"""Names out of files: what may name a task, and file names that stay in their folder."""

from pathlib import Path

import pytest

from golden import tasks
from golden.base.names import is_task, slug

EVIL = ["../../x", "..", ".", "", "/etc/passwd", ".hidden", "a/../b", "a\nb", "a\0b", "a b",
        "x" * 300,
        "~", "a:..", "a:b:c", "a..b", 7, None, ["a"], True]


@pytest.mark.parametrize("name", [*tasks.TASKS, "digits:seed3", "sc10:raw-part", "pkg.mod:Class",
                                  "synthetic", "tests.x:f.<locals>.Task", "fsdd-2:A"])
def test_tasks(name):
    assert is_task(name)


@pytest.mark.parametrize("name", EVIL, ids=str)
def test_no_tasks(name):
    assert not is_task(name)


@pytest.mark.parametrize("name", [name for name in EVIL if isinstance(name, str)], ids=repr)
def test_a_file_name_stays_in_its_folder_and_is_seen(name, tmp_path):
    for net in ("", "..", "../x", "small"):
        path = tmp_path / f"{slug(name, net)}"
        assert path.resolve().parent == tmp_path.resolve() and not path.name.startswith(".")
        path.with_name(f"{path.name}.json").write_text("x")


def test_usual_names_stay_what_they_are():
    assert slug("psmnist", "large") == "psmnist.large" and slug("digits") == "digits"
    assert slug("my_tasks:Louder") == "my_tasks-Louder" and Path(slug("a/b")).name == "a-b"
