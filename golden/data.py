"""Where data files come from: a local folder when told, else the public mirrors and a cache."""

import gzip
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from golden.cli import UserError

ENV = "SPIKESSM_DATA"           # folder with data files, as --data-dir
CACHE_ENV = "SPIKESSM_CACHE"    # where downloaded and generated files are kept
MNIST_MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/",
                 "https://storage.googleapis.com/cvdf-datasets/mnist/")
MNIST_MD5 = {   # of the unpacked idx files: the gzip wrapper differs between mirrors
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class DataError(UserError):
    """A data file is missing or not what it should be; the message says what to do."""


def folder(data_dir: str | os.PathLike | None) -> Path | None:
    """The local data folder: the option, else $SPIKESSM_DATA, else None."""
    chosen = data_dir or os.environ.get(ENV)
    if chosen and not Path(chosen).is_dir():
        source = "--data-dir" if data_dir else f"${ENV}"
        raise DataError(f"the data folder {chosen} (from {source}) does not exist")
    return Path(chosen) if chosen else None


def cache_folder() -> Path:
    """Where downloaded and generated data is kept: $SPIKESSM_CACHE, else the user's cache."""
    import pooch
    return Path(os.environ.get(CACHE_ENV) or pooch.os_cache("spikessm"))


def write_atomically(path: Path, write: Callable) -> None:
    """Call ``write`` with an open binary file that becomes ``path`` once it is complete.

    Raises :class:`DataError` if the folder cannot be written; leaves nothing behind then.
    """
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            partial = Path(file.name)
            write(file)
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path} ({error.strerror or error}); make room, or set "
                        f"${CACHE_ENV} to another folder") from None
    finally:
        if partial:
            partial.unlink(missing_ok=True)


def unpack(packed: bytes, name: str, source: str) -> bytes:
    """The idx file ``name`` of MNIST out of its gzip wrapper, checked by its md5.

    ``source`` names the file or address in the message of the :class:`DataError`.
    """
    try:
        raw = gzip.decompress(packed)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{source} is not a complete gzip file ({error}); fetch it again") from None
    except Exception as error:          # zlib.error has no better base class
        raise DataError(f"{source} is damaged ({error}); fetch it again") from None
    digest = hashlib.md5(raw).hexdigest()
    if digest != MNIST_MD5[name]:
        raise DataError(f"{source}: unpacked md5 {digest}, expected {MNIST_MD5[name]}; "
                        f"fetch it again")
    return raw


def mnist(name: str, data_dir: str | os.PathLike | None = None) -> np.ndarray:
    """One unpacked idx file of MNIST, header removed: uint8 (n, 784) or (n,)."""
    root = folder(data_dir)
    if root is None:
        raw = download(name)
    else:
        path = root / "mnist" / f"{name}.gz"
        try:
            packed = path.read_bytes()
        except FileNotFoundError:
            raise DataError(f"{path} does not exist; put MNIST's {name}.gz there, or leave the "
                            f"data folder out to download it") from None
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
        raw = unpack(packed, name, str(path))
    header = 4 + 4 * raw[3]             # raw[3]: number of dimensions
    values = np.frombuffer(raw, np.uint8, offset=header)
    return values.reshape(-1, 784) if raw[3] == 3 else values


def download(name: str) -> bytes:
    """An idx file of MNIST from the cache, else from the first mirror that gives the right bytes.

    Raises :class:`DataError` with what each mirror did and how to do without them.
    """
    path = cache_folder() / "mnist" / f"{name}.gz"
    try:
        return unpack(path.read_bytes(), name, str(path))
    except (OSError, DataError):
        pass                            # not there yet, or damaged: fetch it (again)
    failures = []
    for mirror in MNIST_MIRRORS:
        try:
            packed = fetch(f"{mirror}{name}.gz")
            raw = unpack(packed, name, f"{mirror}{name}.gz")
        except DataError as error:
            failures.append(str(error))
            continue
        write_atomically(path, lambda file: file.write(packed))
        return raw
    raise DataError(
        f"cannot download MNIST: {'; '.join(failures)}. Without the network: put {name}.gz and its "
        f"three companions into a folder DIR/mnist and give DIR by --data-dir or ${ENV}")


def fetch(url: str) -> bytes:
    """The bytes at an address, with a progress bar on a terminal; DataError if it fails."""
    import pooch
    import requests
    with tempfile.TemporaryDirectory() as scratch:
        pooch.utils.get_logger().setLevel("WARNING")
        try:
            got = pooch.retrieve(url, known_hash=None, path=scratch, fname="file",
                                 downloader=pooch.HTTPDownloader(progressbar=True, timeout=30))
            return Path(got).read_bytes()
        except requests.exceptions.RequestException as error:
            reason = type(error).__name__
            if getattr(error, "response", None) is not None:
                reason = f"status {error.response.status_code}"
            raise DataError(f"{url} failed ({reason})") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{url} failed ({error})") from None
