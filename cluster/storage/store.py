"""What Tunery asks of a place that keeps bytes: whole objects under checked keys."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    bytes: int
    sha256: str | None
    """Hex digest, known where the bytes passed by (`put`, `upload`, `download`); `stat` and `list` give
    None."""
    modified_at: float
    """Unix seconds by the store's clock."""


@dataclass(frozen=True, slots=True)
class UnfinishedPut:
    """What a `put` has stored so far: it is still going on, or it was cut off."""

    key: str
    bytes: int
    changed_at: float
    """Unix seconds by the store's clock: when bytes last came in, or where a store does not tell, when the
    `put` began."""
    id: str
    """The store's own name for it."""


class ObjectStore(Protocol):
    """A flat space of objects. An object is visible whole or not at all; a second `put` replaces the first.

    Every method takes a key as `keys.checked_key` allows it and raises InvalidRequest for any other, NotFound
    for an object that is not there, Unavailable when the store does not answer or cannot take the bytes.
    Stores may be shared between threads.
    """

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        """Stores all of `source`, read in chunks, and returns its size and SHA-256.

        An error, also one raised by `source`, leaves the key as it was; but where the store's answer is lost,
        and Unavailable raised, the new object may be there, whole.
        """
        ...

    def get(self, key: str) -> bytes: ...

    def open(self, key: str) -> BinaryIO:
        """A reader that streams the object from its first byte; close it, or use it in a `with`."""
        ...

    def stat(self, key: str) -> ObjectInfo: ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose keys begin with the characters of `prefix`, in the order of their keys."""
        ...

    def delete(self, key: str) -> None:
        """Removes the object; does nothing if there is none."""
        ...

    def delete_many(self, keys: Sequence[str]) -> None:
        """`delete` of each, in as few requests as the store allows. Unavailable may leave any of them."""
        ...

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedPut]:
        """What has been stored of objects that are not whole yet, by the beginning of their keys. Takes up
        room, and no other method shows it."""
        ...

    def abort(self, put: UnfinishedPut) -> None:
        """Frees the room of an unfinished `put`, which raises Unavailable if it is still going on. Does
        nothing if it has ended meanwhile."""
        ...

    def upload(self, key: str, path: Path) -> ObjectInfo:
        """`put` of a file on this machine."""
        ...

    def download(self, key: str, path: Path) -> ObjectInfo:
        """Copies the object to a file on this machine, whole or not at all, and returns its SHA-256."""
        ...
