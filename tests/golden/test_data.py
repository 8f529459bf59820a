"""Data files from a folder, from mirrors and from the cache; every way they can be wrong."""

import dataclasses
import gzip
import hashlib
import http.server
import multiprocessing
import threading

import numpy as np
import pytest

from golden.tasks import data
from golden.tasks import psmnist as mnist
from golden.tasks.sources import File, Source, download

NAME = "t10k-labels-idx1-ubyte"
RAW = bytes([0, 0, 8, 1, 0, 0, 0, 5, 3, 1, 4, 1, 5])
GZ = gzip.compress(RAW)
NOWHERE = "http://127.0.0.1:9"


def source_of(*addresses: str, raw: bytes = RAW, name: str = NAME) -> Source:
    """MNIST's source with one small file."""
    file = File(f"{name}.gz", tuple(f"{address}/{name}.gz" for address in addresses),
                "md5:" + hashlib.md5(raw).hexdigest(), unpacked=True)
    return dataclasses.replace(mnist.SOURCE, forms=((file.name,),), files=(file,))


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """An empty cache, no data folder."""
    monkeypatch.setenv(data.CACHE_ENV, str(tmp_path / "cache"))
    monkeypatch.delenv(data.ENV, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def mirrors():
    """Two local mirrors: (source, answers, asked); an answer None is 404, a number a status."""
    answers, asked = [None, None], [0, 0]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            k = int(self.path.split("/")[1])
            asked[k] += 1
            body = answers[k]
            if isinstance(body, int) or body is None:
                self.send_error(body or 404)
                return
            self.send_response(200)
            promised = len(body)
            if body.endswith(b"cut here"):
                body, promised = body[:-8], promised + 100
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    yield source_of(f"{base}/0", f"{base}/1"), answers, asked
    server.shutdown()
    server.server_close()


def cached(tmp_path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache").rglob("*"))


def read(source: Source, data_dir=None) -> list[int]:
    return mnist.read(NAME, data_dir, source).tolist()


def test_from_a_folder(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / f"{NAME}.gz").write_bytes(gzip.compress(RAW, 1))
    source = source_of(NOWHERE)
    assert read(source, tmp_path) == [3, 1, 4, 1, 5]
    monkeypatch.setenv(data.ENV, str(tmp_path))
    assert read(source) == [3, 1, 4, 1, 5]
    assert source.at_hand() == tmp_path / "mnist"


def test_images_become_rows(tmp_path):
    raw = bytes([0, 0, 8, 3, *(0, 0, 0, 2), *(0, 0, 0, 28), *(0, 0, 0, 28)]) + bytes(range(196)) * 8
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "x.gz").write_bytes(gzip.compress(raw))
    images = mnist.read("x", tmp_path, source_of(NOWHERE, raw=raw, name="x"))
    assert images.shape == (2, 784) and images.dtype == np.uint8 and images[1, 5] == 5


@pytest.mark.parametrize("content, message", [
    (None, "does not exist; get .* from http.* and put it there"), (b"", "md5"),
    (b"hello", "not a complete file of its kind"), (GZ[:-9], "fetch it again"),
    (GZ[:15] + bytes([GZ[15] ^ 255]) + GZ[16:], "fetch it again"),
    (gzip.compress(RAW[:-1]), "expected")],
    ids=["missing", "empty", "no gzip", "truncated", "flipped byte", "other content"])
def test_bad_file_in_a_folder(tmp_path, content, message):
    (tmp_path / "mnist").mkdir()
    path = tmp_path / "mnist" / f"{NAME}.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(data.DataError, match=message) as error:
        read(source_of(NOWHERE), tmp_path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_folder_that_does_not_exist(tmp_path, monkeypatch):
    with pytest.raises(data.DataError, match="from --data-dir"):
        read(source_of(NOWHERE), tmp_path / "nowhere")
    monkeypatch.setenv(data.ENV, str(tmp_path / "nowhere"))
    with pytest.raises(data.DataError, match=r"from \$SPIKESSM_DATA"):
        read(source_of(NOWHERE))


def test_download_once(tmp_path, mirrors):
    source, answers, asked = mirrors
    answers[0] = GZ
    assert source.at_hand() is None
    assert read(source) == [3, 1, 4, 1, 5]
    assert read(source) == [3, 1, 4, 1, 5]
    assert asked == [1, 0] and cached(tmp_path) == ["mnist", f"{NAME}.gz"]
    assert source.at_hand() == tmp_path / "cache" / "mnist"


def test_the_cache_helps_out_beside_a_data_folder(tmp_path, mirrors):
    source, answers, asked = mirrors
    answers[0] = GZ
    read(source)
    (tmp_path / "d").mkdir()
    assert read(source, tmp_path / "d") == [3, 1, 4, 1, 5] and asked == [1, 0]


@pytest.mark.parametrize("first", [None, 500, b"", b"<html>", GZ[:-5], GZ[:-5] + b"cut here",
                                   gzip.compress(b"other")],
                         ids=["404", "500", "empty", "a page", "truncated", "line lost",
                              "other content"])
def test_next_mirror(tmp_path, mirrors, first):
    source, answers, asked = mirrors
    answers[:] = [first, gzip.compress(RAW, 1)]
    assert read(source) == [3, 1, 4, 1, 5]
    assert asked == [1, 1] and cached(tmp_path) == ["mnist", f"{NAME}.gz"]


def test_no_mirror_works(tmp_path, mirrors):
    source, answers, _ = mirrors
    answers[:] = [None, GZ[:-5]]
    with pytest.raises(data.DataError) as error:
        read(source)
    text = str(error.value)
    assert "status 404" in text and "not a complete file" in text and "--data-dir" in text
    assert "\n" not in text and cached(tmp_path) == ["mnist"]


def test_without_a_checksum_gzip_has_its_own(tmp_path, mirrors):
    source, answers, _ = mirrors
    file = dataclasses.replace(source.files[0], checksum=None)
    unknown = dataclasses.replace(source, files=(file,))
    answers[:] = [b"<html>", GZ[:-5]]
    with pytest.raises(data.DataError, match="not a complete file of its kind"):
        download(file, "mnist", "")
    assert cached(tmp_path) == ["mnist"]
    answers[0] = GZ
    assert read(unknown) == [3, 1, 4, 1, 5]
    assert (source.checksum, unknown.checksum) == ("md5", "checksum unknown")


def test_no_network(tmp_path):
    with pytest.raises(data.DataError, match=r"get t10k-labels.* --data-dir or \$SPIKESSM_DATA"):
        read(source_of(NOWHERE))
    assert cached(tmp_path) == ["mnist"]


def test_damaged_cache_is_fetched_again(tmp_path, mirrors):
    source, answers, asked = mirrors
    answers[0] = GZ
    read(source)
    (tmp_path / "cache" / "mnist" / f"{NAME}.gz").write_bytes(GZ[:-3])
    assert read(source) == [3, 1, 4, 1, 5]
    assert asked == [2, 0]


def test_cache_that_cannot_be_written(tmp_path, mirrors):
    source, answers, _ = mirrors
    answers[0] = GZ
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(data.DataError, match=r"cannot write .* \$SPIKESSM_CACHE"):
        read(source)


def test_full_disk_leaves_nothing(tmp_path):
    def write(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")
    with pytest.raises(data.DataError, match="No space left on device"):
        data.write_atomically(tmp_path / "d" / "x", write)
    assert list((tmp_path / "d").iterdir()) == []


def numbers(n: int) -> dict[str, np.ndarray]:
    return {"a": np.arange(n), "b": np.zeros((2, 3), np.int8)}


@pytest.mark.parametrize("damage", [None, "missing", "cut", "text", "empty", "refused"])
def test_arrays_in_the_cache(tmp_path, damage):
    path, made = tmp_path / "cache" / "x" / "y.npz", []
    data.cached("x/y.npz", lambda: numbers(9))
    good = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage in ("cut", "text", "empty"):
        path.write_bytes({"cut": good[:-40], "text": b"hello", "empty": b""}[damage])
    found = data.cached("x/y.npz", lambda: made.append(1) or numbers(9),
                        lambda arrays: len(arrays["a"]) == 9 and damage != "refused")
    assert found["a"].tolist() == list(range(9)) and found["b"].dtype == np.int8
    assert bool(made) == (damage is not None)
    assert cached(tmp_path) == ["x", "y.npz"] and len(path.read_bytes()) == len(good)


def make_at_once(folder, barrier, results):
    def make():
        barrier.wait(30)
        return numbers(300_000)
    import os
    os.environ[data.CACHE_ENV] = str(folder)
    results.put(data.cached("x.npz", make)["a"].tolist() == list(range(300_000)))


def test_two_processes_make_one_file_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    both = [context.Process(target=make_at_once, args=(tmp_path / "cache", barrier, results))
            for _ in range(2)]
    for process in both:
        process.start()
    assert [results.get(timeout=60) for _ in both] == [True, True]
    for process in both:
        process.join(60)
    assert cached(tmp_path) == ["x.npz"]
    assert data.cached("x.npz", lambda: pytest.fail("made again"))["a"][-1] == 299_999
