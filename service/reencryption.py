"""`tunery reencrypt`: makes storage re-encrypt its objects with the projects' current keys."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cluster.contracts.errors import NotFound
from cluster.storage.store import ObjectStore
from service.backup.objects import ObjectEntry, needed_objects, pages
from service.db.database import Database
from service.storage_check import stored_probe

_AT_ONCE = 16
_A_ROUND = 256


@dataclass(frozen=True, slots=True)
class Reencrypted:
    objects: int
    """Number of objects that had another key than their project, or none."""
    bytes: int
    """Bytes of these objects."""
    kept_objects: int
    """Number of objects that already had the right key."""


def reencrypt(
    database: Database,
    store: ObjectStore,
    progress: Callable[[int, int], None],
    *,
    is_dry_run: bool,
) -> Reencrypted:
    """Re-encrypts each object whose key is not the one that storage would use for its project now. It can be
    interrupted and repeated, and the installation may be running. `progress` is called with the number of
    objects examined so far, and the total.

    Raises InvalidConfiguration and Unavailable if storage does not accept the key of a project; no object of
    any project was then changed."""
    with database.snapshot() as session:
        entries = [entry for entry in needed_objects(session, store) if entry.bytes is not None]
    in_use = {key: _key_in_use(store, key) for key in {entry.encryption_key for entry in entries}}

    def is_changed(entry: ObjectEntry) -> bool | None:
        """None if the object was deleted in the meantime."""
        try:
            if store.encryption_key_of(entry.key) == in_use[entry.encryption_key]:
                return False
            if not is_dry_run:
                store.encrypted_with(entry.encryption_key).reencrypt(entry.key)
        except NotFound:
            return None
        return True

    changed: list[ObjectEntry] = []
    kept = done = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for page in pages(entries, _A_ROUND):
            outcomes = list(pool.map(is_changed, page))
            changed += [entry for entry, is_new in zip(page, outcomes, strict=True) if is_new]
            kept += outcomes.count(False)
            done += len(page)
            progress(done, len(entries))
    return Reencrypted(len(changed), sum(entry.bytes or 0 for entry in changed), kept)


def _key_in_use(store: ObjectStore, key: str | None) -> str | None:
    """The store's name for the key, or for the one that it uses if none is given."""
    with stored_probe(store.encrypted_with(key)) as probe:
        return store.encryption_key_of(probe)
