"""Opens the database and the storage of an installation on this machine, or of the one that the environment
names."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cluster.contracts.errors import InvalidRequest
from cluster.storage.location import open_store
from cluster.storage.store import ObjectStore
from service.data_folder import database_url, storage_url
from service.db.database import Database
from service.permissions import make_private_folder, private_files
from service.settings import Settings

_SHORTEST_SECRET = 16
"""Minimum number of bytes of a key."""


@contextmanager
def opened(folder: Path, *, is_new: bool = False) -> Iterator[tuple[Database, ObjectStore]]:
    """Opens the database and storage that TUNERY_DATABASE_URL and TUNERY_STORAGE_URL name, or else those in
    the data folder, which is created if `is_new`. Raises InvalidRequest if there is no installation in the
    folder."""
    url = database_url(folder)
    if url == database_url(folder, {}):
        if is_new:
            make_private_folder(folder)
        elif not (folder / "tunery.db").exists():
            raise InvalidRequest(
                f"There is no installation in {folder}. Give its --data, or set TUNERY_DATABASE_URL and "
                "TUNERY_STORAGE_URL."
            )
    settings = Settings()
    store = open_store(
        storage_url(folder), endpoint_url=settings.storage_endpoint, checksums=settings.storage_checksums
    )
    # A database contains secrets, wherever it is.
    with private_files(), closing(Database(url)) as database:
        yield database, store


def read_secret(key_file: Path | None) -> bytes | None:
    """The content of a key file, without surrounding spaces. Raises InvalidRequest if it is too short."""
    if key_file is None:
        return None
    try:
        secret = key_file.read_bytes().strip()
    except OSError as error:
        raise InvalidRequest(f"{key_file} cannot be read: {error.strerror}.") from error
    if len(secret) < _SHORTEST_SECRET:
        raise InvalidRequest(
            f"{key_file} has {len(secret)} bytes; a key needs at least {_SHORTEST_SECRET}. "
            "`openssl rand -hex 32` makes one."
        )
    return secret
