"""The interface that Tunery requires of an object store: whole objects under checked keys."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, Self

from cluster.contracts.errors import InvalidConfiguration
from cluster.storage.files import unobserved

Checksums = Literal["when_required", "when_supported"]
"""boto3's checksum modes."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    bytes: int
    sha256: str | None
    """Hex digest. Known to operations that see the bytes (`put`, `upload`, `download`); None from `stat` and
    `list`."""
    modified_at: float
    """Unix seconds, by the store's clock."""


@dataclass(frozen=True, slots=True)
class UnfinishedPut:
    """What a `put` has stored so far. It is still running, or it was interrupted."""

    key: str
    bytes: int
    changed_at: float
    """Unix seconds, by the store's clock: when bytes last arrived, or when the `put` began if the store does
    not record that."""
    id: str
    """The store's own identifier."""


class ObjectStore(Protocol):
    """A flat space of objects. An object is visible whole or not at all; a second `put` replaces the first.

    Keys must pass `keys.checked_key`; every method raises InvalidRequest for any other key, NotFound for an
    object that does not exist, and Unavailable when the store does not answer or cannot take the bytes.
    Stores may be shared between threads.
    """

    encryption_key: str | None = None
    """Key of the store with which new objects are encrypted. None leaves that to the store."""

    def encrypted_with(self, key: str | None) -> Self:
        """Returns the same space of objects, in which the store encrypts what `put`, `upload` and `join`
        write with this one of its keys. Reading needs no key. Contacts nothing.

        Raises InvalidConfiguration (`encryption_unsupported`) if the store has no keys. So do `put` and
        `join` if the store ignores the key; what it has stored by then may remain."""
        if key is None:
            return self
        raise without_keys()

    def encryption_key_of(self, key: str) -> str | None:
        """Returns the store's key with which the object is encrypted, if the store names one."""
        self.stat(key)
        return None

    def reencrypt(self, key: str) -> None:
        """Makes the store encrypt the object as `put` would now. Its bytes do not change, do not pass through
        this process, and can be read all the time.

        Raises InvalidConfiguration (`encryption_unsupported`) if the store has no keys."""
        raise without_keys()

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        """Stores all of `source`, read in chunks, and returns its size and SHA-256.

        An error, including one raised by `source`, leaves the key as it was. The exception: if the store's
        answer is lost and Unavailable is raised, the new object may exist, whole.
        """
        ...

    def put_sized(self, key: str, source: BinaryIO, size: int) -> ObjectInfo:
        """Like `put`, for a stream that will have `size` bytes. A store that sends it in parts makes all
        parts but the last equal, as some stores require, however large the object is."""
        return self.put(key, source)

    def get(self, key: str) -> bytes: ...

    def open(self, key: str, *, start: int = 0) -> BinaryIO:
        """Returns a reader that streams the object from the byte `start`, which must be less than its size
        unless it is 0. Close it, or use it in a `with`."""
        ...

    def stat(self, key: str) -> ObjectInfo: ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yields the objects whose keys begin with `prefix`, in the order of their keys."""
        ...

    def delete(self, key: str) -> None:
        """Removes the object; does nothing if there is none."""
        ...

    def delete_many(self, keys: Sequence[str]) -> None:
        """Deletes each key, in as few requests as the store allows. On Unavailable, any of them may
        remain."""
        ...

    def join(self, key: str, sources: Mapping[str, int]) -> bool:
        """Stores the contents of other objects, one after another, as one object, without moving them through
        this process. `sources` are their sizes in bytes, by key, in the order of their contents. Returns
        False, and leaves the key as it was, if the store cannot do that for these objects; use `put` then."""
        return False

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedPut]:
        """Yields the parts of objects that are not complete yet, whose keys begin with `prefix`. They take up
        space, and no other method shows them."""
        ...

    def abort(self, put: UnfinishedPut) -> None:
        """Frees the space of an unfinished `put`. If that `put` is still running, it raises Unavailable; if
        it has ended in the meantime, nothing happens."""
        ...

    def upload(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        """Stores a file of this machine, and returns its SHA-256. `on_progress` is called while bytes move,
        from any thread."""
        ...

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        """Copies the object to a file on this machine, whole or not at all, and returns its SHA-256.
        `on_progress` is called while bytes move, from any thread."""
        ...


def without_keys() -> InvalidConfiguration:
    return InvalidConfiguration(
        "This storage does not encrypt with keys of its own: only S3 with a key management service does.",
        code="encryption_unsupported",
    )
