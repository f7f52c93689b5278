"""Checks that storage works as required."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.contracts.errors import InvalidConfiguration, InvalidRequest, Unavailable
from cluster.storage.absence import check_absence
from cluster.storage.store import ObjectStore

_CONTENT = b"ready"


@contextmanager
def stored_probe(store: ObjectStore) -> Iterator[str]:
    """Yields the key of a new object, which is deleted at the end. Raises the errors of `put`."""
    key = f"health/{uuid.uuid4().hex}"
    store.put(key, _CONTENT)
    try:
        yield key
    finally:
        store.delete(key)


def check_storage(store: ObjectStore) -> None:
    """Writes, reads and deletes an object: only a write reveals a full disk or a read-only key. Also reads an
    object that does not exist, which a policy may forbid. Raises Unavailable, and InvalidConfiguration if the
    store cannot encrypt as it should."""
    with stored_probe(store) as key:
        if store.get(key) != _CONTENT:
            raise Unavailable("storage returned different bytes than were written")
    check_absence(store)


def check_encryption_key(store: ObjectStore, encryption_key: str) -> None:
    """Raises InvalidRequest if the store does not support keys (`encryption_unsupported`) or does not accept
    this one (`encryption_key_refused`), and Unavailable if it does not answer without a key either."""
    check_storage(store)
    try:
        check_storage(store.encrypted_with(encryption_key))
    except InvalidConfiguration as error:
        raise InvalidRequest(error.message, code=error.code, param="key") from error
    except Unavailable as error:
        raise InvalidRequest(
            f"With the key {encryption_key}, storage takes no object: {error.message}",
            code="encryption_key_refused",
            param="key",
        ) from error
