"""Checks whether a store reports that an object is absent, which Tunery relies on everywhere."""

from cluster.contracts.errors import NotFound
from cluster.storage.store import ObjectStore

_ABSENT = "datasets/absent"


def check_absence(store: ObjectStore) -> None:
    """Asks for an object that never exists. Raises Unavailable, which says what to change, if the store
    answers that it is forbidden. S3 does that without the right to list the bucket."""
    try:
        store.stat(_ABSENT)
    except NotFound:
        return
