"""Where a task's data comes from, said as data: its files, their public home, their checksum.

A file is looked for in the data folder, then in the cache; where neither has it and no data folder
is given, it is downloaded from its public home into the cache.
"""

import gzip
import hashlib
import lzma
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from golden.base.arrays import ArraysError
from golden.tasks import data
from golden.tasks.data import DataError

PIECE = 1 << 20         # bytes read at once
# What is unpacked of a file, at most: so many bytes, and so many times its own.
UNPACKED, RATIO = 1 << 28, 64
DICTIONARY = 1 << 28    # bytes of memory that xz may ask for
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError, struct.error,
          zipfile.BadZipFile, ValueError, OverflowError, RecursionError, ArraysError)


@dataclass(frozen=True)
class File:
    """A file at its public home. ``checksum`` only where a public source states it."""

    name: str                       # below the source's folder
    urls: tuple[str, ...]           # tried one after the other
    checksum: str | None = None     # md5:... or sha256:...
    unpacked: bool = False          # the checksum is of what is inside the gzip wrapper
    stated: str = ""                # who states the checksum


@dataclass(frozen=True)
class Source:
    """The data of a task, or of several.

    ``forms`` are the ways in which it can lie in ``folder`` below the data folder (and the cache):
    each is the names of files or folders that go together, and any form will do. The last form is
    the original as published; ``files`` is what the code can download of it.
    """

    home: str                                   # address of its public page; "": it has none
    licence: str
    folder: str = ""                            # below the data folder
    forms: tuple[tuple[str, ...], ...] = ()
    files: tuple[File, ...] = ()
    made: str = ""                              # how it comes about, if it needs no file

    @property
    def checksum(self) -> str:
        """What is known of the checksums of the files at their public home."""
        if not self.files:
            return "" if self.made else "checksum unknown"
        kinds = {file.checksum.split(":")[0] if file.checksum else "" for file in self.files}
        return "checksum unknown" if "" in kinds else ", ".join(sorted(kinds))

    def places(self, data_dir=None) -> Iterator[Path]:
        """Where files are looked for: in the data folder, if there is one, then in the cache."""
        chosen = data.folder(data_dir)
        if chosen:
            yield chosen / self.folder
        yield data.cache_folder() / self.folder

    def at_hand(self, data_dir=None) -> Path | None:
        """The folder that holds a complete form, if there is one."""
        for place in self.places(data_dir):
            if any(all((place / name).exists() for name in form) for form in self.forms):
                return place
        return None

    def find(self, names: Sequence[str], data_dir=None) -> Path | None:
        """The first of ``names`` that is there, in the data folder or else in the cache."""
        return next((place / name for place in self.places(data_dir) for name in names
                     if (place / name).exists()), None)

    def obtain(self, names: Sequence[str], data_dir=None, check: bool = True) -> Path:
        """:meth:`find`, else the download; a file with a known checksum is checked.

        Raises :class:`DataError` with what to get, where, and where to put it.
        """
        path = self.find(names, data_dir)
        file = next((file for file in self.files if file.name in names), None)
        if path is None:
            if file is None or data.folder(data_dir):
                raise DataError(self.missing(names, data_dir))
            return download(file, self.folder, self.by_hand(file.name))
        if check and file and file.checksum and path.name == file.name:
            if in_cache(path):
                return download(file, self.folder, self.by_hand(file.name))
            verify(path, file)
        return path

    def missing(self, names: Sequence[str], data_dir=None) -> str:
        """One line about files that are not there."""
        place = next(self.places(data_dir))
        text = f"{place / names[0]} does not exist"
        if len(names) > 1:
            text += f", nor does {' or '.join(names[1:])} beside it"
        if not self.home:
            return f"{text}; it has no public home, docs/tasks.md says what it is"
        text += f"; get {names[-1]} from {self.home} and put it there"
        if any(file.name in names for file in self.files):
            text += ", or leave the data folder out to download it"
        return text

    def by_hand(self, name: str) -> str:
        """What to do without the network."""
        return (f"Without the network: get {name} from {self.home}, put it into a folder "
                f"DIR/{self.folder} and give DIR by --data-dir or ${data.ENV}")


def in_cache(path: Path) -> bool:
    """Whether a file is one that the code fetched or made itself."""
    return path.is_relative_to(data.cache_folder())


def again(path: Path) -> str:
    """What to do about a file that is damaged or not what it should be."""
    return "delete it, and it will be made again" if in_cache(path) else "fetch it again"


@contextmanager
def reading(path: Path, *more: type[Exception]):
    """Turn what a damaged or unreadable file raises (and ``more``) into a :class:`DataError`."""
    try:
        yield
    except (*DAMAGE, *more) as error:
        raise DataError(f"{path} is damaged or not a complete file of its kind ("
                        f"{str(error) or type(error).__name__}); {again(path)}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from None


class Unpacked:
    """The content of a gzip file as a stream that can only be read on.

    Raises :class:`DataError` where it is far more than such files hold.
    """

    def __init__(self, path: Path):
        self.path, self.file = path, gzip.open(path)
        self.left = UNPACKED + RATIO * path.stat().st_size

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(PIECE), b""))
        piece = self.file.read(min(size, self.left + 1))
        self.left -= len(piece)
        if self.left < 0:
            raise too_large(self.path)
        return piece

    def __enter__(self) -> "Unpacked":
        return self

    def __exit__(self, *_) -> None:
        self.file.close()


def unpacked(path: Path) -> bytes:
    """The content of an xz file, at most ``UNPACKED`` bytes."""
    packed, found = content(path), b""
    while packed:
        one = lzma.LZMADecompressor(memlimit=DICTIONARY)
        found += one.decompress(packed, UNPACKED + 1 - len(found))
        if len(found) > UNPACKED:
            raise too_large(path)
        if not one.eof:
            raise EOFError("it ends too early")
        packed = one.unused_data.lstrip(b"\0")     # of another stream behind the first
    return found


def content(path: Path, most: int | None = None) -> bytes:
    """The bytes of a file that holds at most so many; None: ``UNPACKED``."""
    with open(path, "rb") as file:
        size, most = os.fstat(file.fileno()).st_size, UNPACKED if most is None else most
        if size > most:
            raise too_large(path)
        return file.read(size)


def too_large(path: Path) -> DataError:
    return DataError(f"{path} holds far more than such a file does; {again(path)}")


def verify(path: Path, file: File) -> None:
    """Raise :class:`DataError` if ``path`` is not ``file``: by its checksum, else gzip's own."""
    algorithm, _, expected = (file.checksum or "md5:").partition(":")
    digest = hashlib.new(algorithm)
    packed = file.unpacked or (not file.checksum and path.suffix in (".gz", ".tgz"))
    with reading(path), Unpacked(path) if packed else open(path, "rb") as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
    if expected and digest.hexdigest() != expected:
        raise DataError(f"{path}: {'unpacked ' * file.unpacked}{algorithm} {digest.hexdigest()}, "
                        f"expected {expected}; {again(path)}")


def download(file: File, folder: str, by_hand: str) -> Path:
    """``file`` in the cache; fetched from the first address that gives the right bytes.

    Raises :class:`DataError` with what each address did and how to do without them.
    """
    path = data.cache_folder() / folder / file.name
    failures = []
    try:
        verify(path, file)
        return path
    except DataError:                   # not there yet, or damaged: fetch it (again)
        pass
    for url in file.urls:
        try:
            fetch(url, path, file)
            return path
        except DataError as error:
            failures.append(str(error))
    raise DataError(f"cannot download {file.name}: {'; '.join(failures)}. {by_hand}")


def fetch(url: str, path: Path, file: File) -> None:
    """Download to ``path``, with a progress bar on a terminal; the file appears once it is right.

    Raises :class:`DataError` and leaves nothing behind. Processes that fetch the same file at the
    same time do not meet: each has a folder of its own until the last renaming.
    """
    import pooch
    import requests
    pooch.utils.get_logger().setLevel("WARNING")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=path.parent, prefix="partial-")
    except OSError as error:
        raise data.cannot_write(path, error) from None
    with scratch:
        try:
            got = Path(pooch.retrieve(
                url, known_hash=None, path=scratch.name, fname=file.name,
                downloader=pooch.HTTPDownloader(progressbar=True, timeout=30)))
        except requests.exceptions.RequestException as error:
            reason = type(error).__name__
            if getattr(error, "response", None) is not None:
                reason = f"status {error.response.status_code}"
            raise DataError(f"{url} failed ({reason})") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{url} failed ({error})") from None
        try:
            verify(got, file)
        except DataError as error:
            raise DataError(str(error).replace(str(got), url).rsplit(";", 1)[0]) from None
        got.chmod(0o644)
        os.replace(got, path)
