"""Deletes objects that newer checkpoints have superseded, as soon as the database knows the newer ones.

A sweep would find the same objects, but only after their grace time: a large model would leave a TB in an
hour. Repeating an interrupted deletion is harmless.
"""

import structlog

from cluster.contracts.errors import TuneryError
from cluster.storage.keys import parse_key
from cluster.storage.store import ObjectStore
from service.db.database import Database
from service.db.reachable_objects import find_reachable
from service.db.superseded import forget_superseded, superseded_folders

_log = structlog.get_logger()


def delete_superseded(database: Database, store: ObjectStore, *, grace_seconds: float = 0.0) -> int:
    """Empties the folders that have waited for `grace_seconds`, except for objects that a row still refers
    to: a model, a checkpoint that is kept, a job that starts from it. The sweep deletes those when their time
    comes. A folder that cannot be emptied now stays listed. Returns the number of bytes."""
    with database.read() as session:
        folders = superseded_folders(session, seconds=grace_seconds)
    freed = 0
    for folder in folders:
        try:
            freed += _empty(database, store, folder)
        except TuneryError as error:
            _log.warning("superseded checkpoint to be deleted later", folder=folder, error=error.message)
            continue
        with database.write(frees_space=True) as session:
            forget_superseded(session, folder)
    return freed


def _empty(database: Database, store: ObjectStore, folder: str) -> int:
    # List first, then look up, then delete: see `service.db.reachable_objects`.
    found = [(info, parse_key(info.key)) for info in store.list(folder)]
    places = [place for _, place in found if place is not None]
    with database.read() as session:
        reachable = find_reachable(session, places)
    unneeded = [info for info, place in found if place is not None and not reachable.contains(place)]
    store.delete_many([info.key for info in unneeded])
    return sum(info.bytes for info in unneeded)
