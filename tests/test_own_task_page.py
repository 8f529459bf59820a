"""What ``docs/own-task.md`` prints, up to the integers; ``tests/own_task.py`` has all of it."""

from tests.own_task import SHORT, place        # noqa: F401  the fixture


def test_from_the_file_to_the_integers(place):  # noqa: F811
    train, _, export, integers = SHORT
    place.good(train)
    place.good(export)
    assert "my_tasks:Louder: integer network, 400 sequences" in place.good(integers)
    made = place.mine / "build"
    assert {path.name for path in made.iterdir()} <= {"train", "artifacts", "cache"}
    assert (made / "artifacts" / "my_tasks-Louder" / "manifest.json").exists()
    place.good(f"{train} --epochs 1 --seed 1 --build 'another place'")
    best = place.mine / "another place" / "train" / "my_tasks-Louder" / "best.pt"
    best.replace(made / "train" / "my_tasks-Louder" / "best.pt")
    said = place.good(integers)
    assert "was made from another best.pt: exporting" in said
    (place.mine / "my_tasks.py").write_text((place.mine / "my_tasks.py").read_text().replace(
        "values.astype(np.uint8)", "np.where(split == 'test', 300, values)"))
    code, _, err = place.run(integers)
    assert code == 2 and "test: values from 300 to 300, they must be from 0 to 255" in err
    assert len(err.strip().splitlines()) == 1
