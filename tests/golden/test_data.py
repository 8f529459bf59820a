"""MNIST from a folder, from mirrors and from the cache; every way it can be wrong."""

import gzip
import hashlib
import http.server
import threading

import numpy as np
import pytest

from golden import data

NAME = "t10k-labels-idx1-ubyte"
RAW = bytes([0, 0, 8, 1, 0, 0, 0, 5, 3, 1, 4, 1, 5])
GZ = gzip.compress(RAW)


@pytest.fixture(autouse=True)
def small_mnist(tmp_path, monkeypatch):
    """Checksums of a five-label file, an empty cache, no data folder."""
    monkeypatch.setitem(data.MNIST_MD5, NAME, hashlib.md5(RAW).hexdigest())
    monkeypatch.setenv(data.CACHE_ENV, str(tmp_path / "cache"))
    monkeypatch.delenv(data.ENV, raising=False)


@pytest.fixture
def mirrors(monkeypatch):
    """Two local mirrors; ``mirrors[k]`` is the k-th's answer (None: 404), asked[k] the count."""
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
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(data, "MNIST_MIRRORS", (f"{base}/0/", f"{base}/1/"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield answers, asked
    server.shutdown()
    server.server_close()


def cached(tmp_path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())


def test_from_a_folder(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / f"{NAME}.gz").write_bytes(gzip.compress(RAW, 1))
    assert data.mnist(NAME, tmp_path).tolist() == [3, 1, 4, 1, 5]
    monkeypatch.setenv(data.ENV, str(tmp_path))
    assert data.mnist(NAME).tolist() == [3, 1, 4, 1, 5]


def test_images_become_rows(tmp_path, monkeypatch):
    raw = bytes([0, 0, 8, 3, *(0, 0, 0, 2), *(0, 0, 0, 28), *(0, 0, 0, 28)]) + bytes(range(196)) * 8
    monkeypatch.setitem(data.MNIST_MD5, "x", hashlib.md5(raw).hexdigest())
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "x.gz").write_bytes(gzip.compress(raw))
    images = data.mnist("x", tmp_path)
    assert images.shape == (2, 784) and images.dtype == np.uint8 and images[1, 5] == 5


@pytest.mark.parametrize("content, message", [
    (None, "does not exist"), (b"", "md5"), (b"hello", "not a complete gzip file"),
    (GZ[:-9], "fetch it again"), (GZ[:15] + bytes([GZ[15] ^ 255]) + GZ[16:], "fetch it again"),
    (gzip.compress(RAW[:-1]), "expected")],
    ids=["missing", "empty", "no gzip", "truncated", "flipped byte", "other content"])
def test_bad_file_in_a_folder(tmp_path, content, message):
    (tmp_path / "mnist").mkdir()
    path = tmp_path / "mnist" / f"{NAME}.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(data.DataError, match=message) as error:
        data.mnist(NAME, tmp_path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_folder_that_does_not_exist(tmp_path, monkeypatch):
    with pytest.raises(data.DataError, match="from --data-dir"):
        data.mnist(NAME, tmp_path / "nowhere")
    monkeypatch.setenv(data.ENV, str(tmp_path / "nowhere"))
    with pytest.raises(data.DataError, match=r"from \$SPIKESSM_DATA"):
        data.mnist(NAME)


def test_download_once(tmp_path, mirrors):
    answers, asked = mirrors
    answers[0] = GZ
    assert data.mnist(NAME).tolist() == [3, 1, 4, 1, 5]
    assert data.mnist(NAME).tolist() == [3, 1, 4, 1, 5]
    assert asked == [1, 0] and cached(tmp_path) == [f"{NAME}.gz"]


@pytest.mark.parametrize("first", [None, 500, b"", b"<html>", GZ[:-5], gzip.compress(b"other")],
                         ids=["404", "500", "empty", "a page", "truncated", "other content"])
def test_next_mirror(tmp_path, mirrors, first):
    answers, asked = mirrors
    answers[:] = [first, gzip.compress(RAW, 1)]
    assert data.mnist(NAME).tolist() == [3, 1, 4, 1, 5]
    assert asked == [1, 1] and cached(tmp_path) == [f"{NAME}.gz"]


def test_no_mirror_works(tmp_path, mirrors):
    mirrors[0][:] = [None, GZ[:-5]]
    with pytest.raises(data.DataError) as error:
        data.mnist(NAME)
    text = str(error.value)
    assert "status 404" in text and "fetch it again" in text and "--data-dir" in text
    assert "\n" not in text and cached(tmp_path) == []


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MNIST_MIRRORS", ("http://127.0.0.1:9/",))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(data.DataError, match=r"put t10k-labels.* --data-dir or \$SPIKESSM_DATA"):
        data.mnist(NAME)
    assert cached(tmp_path) == []


def test_damaged_cache_is_fetched_again(tmp_path, mirrors):
    mirrors[0][0] = GZ
    data.mnist(NAME)
    (tmp_path / "cache" / "mnist" / f"{NAME}.gz").write_bytes(GZ[:-3])
    assert data.mnist(NAME).tolist() == [3, 1, 4, 1, 5]
    assert mirrors[1] == [2, 0]


def test_cache_that_cannot_be_written(tmp_path, mirrors, monkeypatch):
    mirrors[0][0] = GZ
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(data.DataError, match=r"cannot write .* \$SPIKESSM_CACHE"):
        data.mnist(NAME)


def test_full_disk_leaves_nothing(tmp_path):
    def write(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")
    with pytest.raises(data.DataError, match="No space left on device"):
        data.write_atomically(tmp_path / "d" / "x", write)
    assert list((tmp_path / "d").iterdir()) == []
