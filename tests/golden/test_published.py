"""Text, image and retrieval from small files in every form in which the data lies about."""

import dataclasses
import io
import lzma
import pickle
import tarfile

import numpy as np
import pytest

from golden.tasks import data
from golden.tasks import SPLITS, TaskError, bytetext, checked, image, make_task, spec, subsets_of

REVIEWS = [(k % 2, k // 2, f"review {k}\twith a tab, caf\u00e9 <br />".encode()) for k in range(40)]
COLOURS = np.random.default_rng(0).integers(0, 256, (60, 3, 32, 32)).astype(np.uint8)
LABELS = np.arange(60) % 10


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv(data.CACHE_ENV, str(tmp_path / "cache"))
    monkeypatch.delenv(data.ENV, raising=False)


def archive(path, members: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def unpack(path, folder):
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")


def text_folder(folder, form: str):
    """Both halves of the reviews above in one of the three forms."""
    home = folder / "imdb"
    home.mkdir()
    if form == "table":
        for half in ("train", "test"):
            rows = [b"%d\t%d\t7\t%s\n" % row for row in sorted(REVIEWS, reverse=half == "test")]
            (home / f"imdb_{half}.tsv.xz").write_bytes(lzma.compress(b"".join(rows)))
        return folder
    archive(home / "aclImdb_v1.tar.gz", {
        "aclImdb/README": b"x", "aclImdb/train/unsup/0_0.txt": b"x",
        "aclImdb/train/urls_pos.txt": b"x",
        **{f"aclImdb/{half}/{('neg', 'pos')[label]}/{number}_7.txt": text
           for half in ("train", "test") for label, number, text in REVIEWS}})
    if form == "unpacked":
        unpack(home / "aclImdb_v1.tar.gz", home)
        (home / "aclImdb_v1.tar.gz").unlink()
    return folder


def decoded(split) -> list[bytes]:
    split = split.sequences()
    return [(row[:n].astype(int) - 1).astype(np.uint8).tobytes()
            for row, n in zip(split.values, split.lengths)]


@pytest.mark.parametrize("form", ["table", "archive", "unpacked"])
def test_text(tmp_path, form):
    task = make_task("text:part")
    splits = {name: checked(task.load(name, text_folder(tmp_path, form) if name == "train"
                                      else tmp_path), task) for name in SPLITS}
    assert [len(splits[name]) for name in SPLITS] == [36, 4, 40]
    known = {text: label for label, _, text in REVIEWS}
    for split in splits.values():
        assert [known[text] for text in decoded(split)] == split.labels.tolist()
    together = decoded(splits["train"]) + decoded(splits["val"])
    assert sorted(together) == sorted(known)
    order = np.random.default_rng(42).permutation(40)       # whatever the form
    assert decoded(splits["test"]) == [sorted(REVIEWS)[k][2] for k in order]
    assert spec(task) == task.name == "text:part"


def test_bytes_as_tokens():
    values, lengths = bytetext.tokens([b"\x00a\xfe", b"abcdef"], 4)
    assert values.tolist() == [[1, 98, 255, 0], [98, 99, 100, 101]] and values.dtype == np.uint8
    assert lengths.tolist() == [3, 4]
    values, _ = bytetext.tokens([b"\xff"], 4)
    assert values.tolist() == [[256]]


def test_text_is_counted_and_checksummed(tmp_path):
    with pytest.raises(data.DataError, match="40 test reviews, not 25,000; .* text:part for"):
        make_task("text").load("test", text_folder(tmp_path, "table"))
    (tmp_path / "other").mkdir()
    with pytest.raises(data.DataError, match="expected 7c2ac02c03563afcf9b574c7e56c153a"):
        make_task("text").load("test", text_folder(tmp_path / "other", "archive"))


def broken_table(content: bytes):
    return lambda home: (home / "imdb_test.tsv.xz").write_bytes(content)


GOOD = b"0\t1\t3\tbad\n1\t1\t9\tgood\n"


@pytest.mark.parametrize("damage, message", [
    (broken_table(lzma.compress(GOOD)[:-9]), "damaged or not a complete file"),
    (broken_table(b"hello"), "damaged or not a complete file"),
    (broken_table(lzma.compress(GOOD + b"1\t2\tgood\n")), "line 3: expected label 0 or 1"),
    (broken_table(lzma.compress(GOOD + b"\n")), "line 3: expected label 0 or 1"),
    (broken_table(lzma.compress(b"2" + GOOD[1:])), "line 1: expected label 0 or 1"),
    (broken_table(lzma.compress(GOOD + b"1\t2\t7\t\n")), "or one is empty"),
    (broken_table(lzma.compress(GOOD[:10])), "lacks the test reviews of a class"),
    (broken_table(lzma.compress(b"")), "lacks the test reviews of a class"),
    (lambda home: (home / "aclImdb").write_text("a file"), "aclImdb is damaged or not a complete"),
    (lambda home: (home / "aclImdb_v1.tar.gz").write_bytes(b"\x1f\x8b hello"), "damaged"),
    (lambda home: None, "nor does aclImdb or aclImdb_v1.tar.gz beside it; get aclImdb_v1")])
def test_broken_text(tmp_path, damage, message):
    (tmp_path / "imdb").mkdir()
    damage(tmp_path / "imdb")
    with pytest.raises(data.DataError, match=message) as error:
        make_task("text:part").load("test", tmp_path)
    assert str(tmp_path / "imdb") in str(error.value) and "\n" not in str(error.value)


def batch(rows: slice) -> bytes:
    return pickle.dumps({b"data": COLOURS[rows].reshape(-1, 3072),
                         b"labels": LABELS[rows].tolist(), b"batch_label": b"x"}, protocol=2)


def image_folder(folder, form: str):
    home = folder / "cifar10"
    home.mkdir()
    if form == "compact":
        pictures, file = image.grey(COLOURS), io.BytesIO()
        np.savez(file, train_x=pictures[:50], train_y=LABELS[:50], test_x=pictures[50:],
                 test_y=LABELS[50:], test_exact=np.arange(10) < 4)
        (home / image.COMPACT).write_bytes(lzma.compress(file.getvalue()))
        return folder
    members = {f"data_batch_{k + 1}": batch(slice(10 * k, 10 * k + 10)) for k in range(5)}
    members |= {"test_batch": batch(slice(50, 60)), "batches.meta": b"x"}
    archive(home / image.ARCHIVE, {f"{image.FOLDER}/{k}": v for k, v in members.items()})
    if form == "unpacked":
        unpack(home / image.ARCHIVE, home)
        (home / image.ARCHIVE).unlink()
    return folder


@pytest.mark.parametrize("form", ["compact", "archive", "unpacked"])
def test_image(tmp_path, form):
    task = make_task("image:part")
    image_folder(tmp_path, form)
    splits = {name: checked(task.load(name, tmp_path), task) for name in SPLITS}
    assert [len(splits[name]) for name in SPLITS] == [45, 5, 10]
    red, green, blue = COLOURS[50].astype(int).reshape(3, -1)
    weighed = np.floor(0.2989 * red + 0.587 * green + 0.114 * blue + 0.5 + 1e-9)
    assert splits["test"].values[0].tolist() == weighed.astype(int).tolist()
    assert splits["test"].labels.tolist() == LABELS[50:].tolist()
    rows = {row.tobytes() for name in ("train", "val") for row in splits[name].values}
    assert rows == {row.tobytes() for row in image.grey(COLOURS)[:50]}
    exact = subsets_of(task, "test", 10, tmp_path)["exact"]
    assert exact.sum() == (4 if form == "compact" else 10) and not task.subsets("val", tmp_path)


def test_grey_keeps_grey():
    ramp = np.arange(256, dtype=np.uint8)
    grey = image.grey(np.broadcast_to(ramp[:, None, None, None], (256, 3, 32, 32)))
    assert grey[:, 0, 0].tolist() == [int(0.9999 * v + 0.5) for v in range(256)]


class Evil:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("content, message", [
    (b"hello", "damaged or not a complete file"), (lzma.compress(b"hello"), "damaged"),
    (None, "nor does cifar-10-batches-py or cifar-10-python.tar.gz beside it")])
def test_broken_image(tmp_path, content, message):
    (tmp_path / "cifar10").mkdir()
    if content:
        (tmp_path / "cifar10" / image.COMPACT).write_bytes(content)
    with pytest.raises(data.DataError, match=message) as error:
        make_task("image").load("val", tmp_path)
    assert "\n" not in str(error.value)


def test_broken_image_archives(tmp_path, capsys):
    (tmp_path / "cifar10").mkdir()
    path = tmp_path / "cifar10" / image.ARCHIVE
    task = make_task("image:part")
    archive(path, {f"{image.FOLDER}/test_batch": pickle.dumps(Evil())})
    with pytest.raises(data.DataError, match="wants to run builtins.print"):
        task.load("test", tmp_path)
    assert "run" not in capsys.readouterr().out
    with pytest.raises(data.DataError, match="data_batch_1"):
        task.load("train", tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(data.DataError, match="damaged or not a complete file"):
        task.load("test", tmp_path)
    with pytest.raises(data.DataError, match="expected c58f30108f718f92721af3b95e74349a"):
        make_task("image").load("test", tmp_path)


def test_image_is_counted(tmp_path):
    with pytest.raises(data.DataError, match="holds 10 test pictures, not 10,000"):
        make_task("image").load("test", image_folder(tmp_path, "compact"))


PAIRS = [(k % 2, f"b'text {k} \\n and'", f"b\"{'long ' * k}it's\"") for k in range(12)]


def pair_lines(rows=PAIRS) -> bytes:
    return "".join(f"{label:.1f}\tX{k}\tY{k}\t{a}\t{b}\n"
                   for k, (label, a, b) in enumerate(rows)).encode()


@pytest.mark.parametrize("form", ["files", "archive"])
def test_retrieval(tmp_path, form):
    task = make_task("retrieval:part")
    (tmp_path / "aan").mkdir()
    sizes = dict(zip(SPLITS, (12, 4, 6)))
    members = {f"new_aan_pairs.{'eval' if name == 'val' else name}.tsv": pair_lines(PAIRS[:n])
               for name, n in sizes.items()}
    if form == "files":
        for name, content in members.items():
            (tmp_path / "aan" / name).write_bytes(content)
    else:
        archive(tmp_path / "aan" / "lra_release.gz",
                {f"lra_release/lra_release/tsv_data/{k}": v for k, v in members.items()})
    for _ in range(2):                      # the second time from what was unpacked
        for name, n in sizes.items():
            split = checked(task.load(name, tmp_path), task)
            assert split.values.shape[:2] == (n, 2) and split.lengths.shape == (n, 2)
            assert split.labels.tolist() == [label for label, _, _ in PAIRS[:n]]
            assert decoded(split) == [t.encode() for _, a, b in PAIRS[:n] for t in (a, b)]
    kept = [p.name for p in (tmp_path / "cache").rglob("*.*")]
    assert len(kept) == (3 if form == "archive" else 0)


def test_another_archive_is_unpacked_again(tmp_path):
    (tmp_path / "aan").mkdir()
    for rows in (PAIRS, PAIRS[3:], PAIRS[::-1]):
        archive(tmp_path / "aan" / "lra_release.gz",
                {"tsv_data/new_aan_pairs.test.tsv": pair_lines(rows)})
        split = make_task("retrieval:part").load("test", tmp_path)
        assert split.labels.tolist() == [label for label, _, _ in rows]


def test_a_text_of_a_pair_is_cut(tmp_path):
    (tmp_path / "aan").mkdir()
    (tmp_path / "aan" / "new_aan_pairs.test.tsv").write_bytes(
        b"1\tX\tY\t" + b"a" * 4001 + b"\tb\r\n")
    split = make_task("retrieval:part").load("test", tmp_path)
    assert split.lengths.tolist() == [[4000, 1]] and split.values.shape == (1, 2, 4000)
    single = split.sequences()
    assert single.labels.tolist() == [1, 1] and single.lengths.tolist() == [4000, 1]
    with pytest.raises(data.DataError, match="holds 1 test pairs, not 17,437"):
        make_task("retrieval").load("test", tmp_path)


@pytest.mark.parametrize("content, message", [
    (b"", "holds no pair"), (pair_lines()[:-3], "line 12: expected label, two numbers"),
    (pair_lines() + b"\n", "line 13: expected label"),
    (pair_lines() + b"1.0\tX\tY\t\ta\n", "line 13: expected label"),
    (b"2.0" + pair_lines()[3:], "line 1: the label is '2.0', neither 0.0 nor 1.0"),
    (None, "nor does lra_release.gz beside it; get lra_release.gz from https://github.com")])
def test_broken_retrieval(tmp_path, content, message):
    (tmp_path / "aan").mkdir()
    if content is not None:
        (tmp_path / "aan" / "new_aan_pairs.test.tsv").write_bytes(content)
    with pytest.raises(data.DataError, match=message) as error:
        make_task("retrieval:part").load("test", tmp_path)
    assert "\n" not in str(error.value)


def test_broken_retrieval_archive(tmp_path):
    (tmp_path / "aan").mkdir()
    path = tmp_path / "aan" / "lra_release.gz"
    archive(path, {"lra_release/x.tsv": b"x" * 9000})
    with pytest.raises(data.DataError, match="has no new_aan_pairs.eval.tsv in it"):
        make_task("retrieval").load("val", tmp_path)
    archive(path, {"a/new_aan_pairs.eval.tsv": np.random.default_rng(0).bytes(90_000)})
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(data.DataError, match="damaged or not a complete file"):
        make_task("retrieval").load("val", tmp_path)
    assert not list((tmp_path / "cache").rglob("*.*"))       # nothing half-written


def test_two_inputs_are_checked(tmp_path):
    task = make_task("retrieval:part")
    (tmp_path / "aan").mkdir()
    (tmp_path / "aan" / "new_aan_pairs.test.tsv").write_bytes(pair_lines())
    split = task.load("test", tmp_path)
    for wrong, message in (({"values": split.values[:, 0]}, r"values are \(n, 2, L\)"),
                           ({"lengths": split.lengths[:, 0]}, r"lengths has shape \(12,\)"),
                           ({"lengths": split.lengths + 99}, "lengths from"),
                           ({"values": split.values[:, :1]}, "values has shape")):
        with pytest.raises(TaskError, match=message):
            checked(dataclasses.replace(split, **wrong), task)
    with pytest.raises(TaskError, match=r"\(12, 2, \d+\) beside 12 labels; values are \(n, L\), "):
        checked(split, make_task("text"))
