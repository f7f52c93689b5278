"""Objects as files in one folder, on a single machine or a shared file system."""

import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from cluster.contracts.errors import InvalidRequest, NotFound
from cluster.storage.files import (
    TEMPORARY_MARK,
    as_domain_error,
    store_unavailable,
    unobserved,
    write_atomically,
)
from cluster.storage.keys import checked_key, checked_prefix
from cluster.storage.store import ObjectInfo, ObjectStore, UnfinishedPut


class LocalStore(ObjectStore):
    """The ObjectStore of the folder `root`, which the first `put` creates.

    Symbolic links inside the folder are never followed: a link to a file counts as absent, and a link to a
    folder is refused.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        return self._put(key, io.BytesIO(source) if isinstance(source, bytes) else source, unobserved)

    def upload(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        with path.open("rb") as source:
            return self._put(key, source, on_progress)

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        with self.open(key) as reader:
            return ObjectInfo(key, *write_atomically(path, reader, on_progress))

    def get(self, key: str) -> bytes:
        with self.open(key) as reader:
            return reader.read()

    def open(self, key: str, *, start: int = 0) -> BinaryIO:
        self.stat(key)
        path = self._path(key)
        try:
            reader = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")
            reader.seek(start)
            return reader
        except FileNotFoundError as error:
            raise _absent(key) from error
        except OSError as error:
            raise as_domain_error(error, path, store_unavailable) from error

    def stat(self, key: str) -> ObjectInfo:
        path = self._path(key)
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _absent(key) from error
        except OSError as error:
            raise as_domain_error(error, path, store_unavailable) from error
        if not stat.S_ISREG(found.st_mode):
            raise _absent(key)
        return ObjectInfo(key, found.st_size, None, found.st_mtime)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for key, found in self._files(prefix):
            if TEMPORARY_MARK not in key:
                yield ObjectInfo(key, found.st_size, None, found.st_mtime)

    def delete(self, key: str) -> None:
        self._remove(self._path(key))

    def delete_many(self, keys: Sequence[str]) -> None:
        for path in [self._path(key) for key in keys]:
            self._remove(path)

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedPut]:
        for name, found in self._files(prefix):
            key, mark, _ = name.partition(TEMPORARY_MARK)
            if mark:
                yield UnfinishedPut(key, found.st_size, found.st_mtime, name)

    def abort(self, put: UnfinishedPut) -> None:
        path = self._path(put.key)
        self._remove(path.with_name(put.id.rpartition("/")[2]))

    def _put(self, key: str, source: BinaryIO, on_progress: Callable[[], None]) -> ObjectInfo:
        path = self._path(key)
        if path.is_dir():
            raise InvalidRequest(f"Object key {key!r} is the beginning of other keys.", param="key")
        return ObjectInfo(key, *write_atomically(path, source, on_progress, unavailable=store_unavailable))

    def _files(self, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        folder = checked_prefix(prefix).rpartition("/")[0]
        for name, found in _walk(self._path(folder) if folder else self._root, folder):
            if name.startswith(prefix):
                yield name, found

    def _remove(self, path: Path) -> None:
        """Removes the file, and then the folders above it that are empty."""
        try:
            path.unlink(missing_ok=True)
        except (NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise as_domain_error(error, path, store_unavailable) from error
        with suppress(OSError):
            for folder in path.parents:
                if folder == self._root:
                    break
                folder.rmdir()

    def _path(self, key: str) -> Path:
        path = self._root / checked_key(key)
        if not path.parent.resolve().is_relative_to(self._root.resolve()):
            raise InvalidRequest(f"Object key {key!r} leads out of the store.", param="key")
        return path


def _walk(folder: Path, above: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yields the regular files below `folder` with their keys, sorted byte by byte as in S3, so that a folder
    sorts as its name with a slash. Files that vanish in the meantime are left out."""
    try:
        entries = sorted(os.scandir(folder), key=_sort_name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise as_domain_error(error, folder, store_unavailable) from error
    for entry in entries:
        key = f"{above}/{entry.name}" if above else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), key)
        elif entry.is_file(follow_symlinks=False):
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield key, found


def _sort_name(entry: os.DirEntry[str]) -> str:
    return entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name


def _absent(key: str) -> NotFound:
    return NotFound(f"No object {key!r} in storage.")
