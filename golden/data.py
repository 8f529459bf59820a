"""Where data files come from: a local folder when told, else the public mirrors."""

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np

from golden.cli import UserError

ENV = "SPIKESSM_DATA"
MNIST_MD5 = {   # of the unpacked idx files: the gzip wrapper differs between mirrors
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c629615203637",
}


class DataError(UserError):
    """A data file is missing or not what it should be; the message says what to do."""


def folder(data_dir: str | os.PathLike | None) -> Path | None:
    """The local data folder: the option, else $SPIKESSM_DATA, else None."""
    chosen = data_dir or os.environ.get(ENV)
    return Path(chosen) if chosen else None


def mnist(name: str, data_dir: str | os.PathLike | None = None) -> np.ndarray:
    """One unpacked idx file of MNIST, header removed: uint8 (n, 784) or (n,)."""
    root = folder(data_dir)
    if root is None:
        raise DataError(f"MNIST needs a data folder: set ${ENV} or --data-dir")
    path = root / "mnist" / f"{name}.gz"
    try:
        raw = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; expected MNIST's {name}.gz there") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path} is not a complete gzip file ({error}); fetch it again") from None
    if hashlib.md5(raw).hexdigest() != MNIST_MD5[name]:
        raise DataError(f"{path}: unpacked md5 {hashlib.md5(raw).hexdigest()}, "
                        f"expected {MNIST_MD5[name]}; fetch it again")
    header = 4 + 4 * raw[3]
    values = np.frombuffer(raw, np.uint8, offset=header)
    return values.reshape(-1, 784) if raw[3] == 3 else values
