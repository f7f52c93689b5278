"""Downloads tuned weights from storage to a folder on this machine; every byte is checked against the
manifest."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

from pydantic import ValidationError

from cluster.contracts.errors import CorruptArtefact, InvalidRequest
from cluster.contracts.manifest import Manifest, ManifestFile, weight_file_names
from cluster.contracts.weights import WeightsRef
from cluster.serving.weights.checksums import Checksums
from cluster.serving.weights.disk_cache import DiskCache, budget_from_environment
from cluster.storage.files import write_atomically
from cluster.storage.keys import sibling_key
from cluster.storage.store import ObjectStore

_ALLOWED = {".safetensors", ".json", ".jinja", ".model", ".txt", ".md"}
"""Allowed file types. Pickles are excluded, because they run code when they are read."""

_MANIFEST = "manifest.json"
"""Kept beside the weights, so that cached weights do not need storage."""

_FILES_AT_ONCE = 4
"""Concurrent downloads of one adapter or model."""

_Check = Callable[[Manifest], None]
"""Raises if the manifest does not fit."""


class WeightsFolder:
    """A cache of weights on disk by digest, which outlives the process and may be shared by several
    processes.

    Keeps at most `budget_bytes` (None: `budget_from_environment`) in at most `max_entries` folders. The least
    recently used are evicted first, leased ones never. Methods block and are thread-safe.
    """

    def __init__(
        self, root: Path, store: ObjectStore, *, budget_bytes: int | None = None, max_entries: int = 4096
    ) -> None:
        self._store = store
        self._cache = DiskCache(
            root,
            budget_bytes=budget_from_environment(root) if budget_bytes is None else budget_bytes,
            max_entries=max_entries,
        )
        self._checksums = Checksums()
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        """Locks by digest, while a thread needs them."""
        self._locks_lock = threading.Lock()

    @contextmanager
    def lease(self, ref: WeightsRef, *, base_digest: str, template_digest: str) -> Iterator[Path]:
        """Yields the folder with the weight files of the manifest, which stays until the end of the context.
        Downloads files and manifest unless they are all cached. Concurrent threads share one download.

        Raises CorruptArtefact if any byte differs from its digest, InvalidRequest if the weights were trained
        on another base or with another chat template, and storage's NotFound and Unavailable.
        """
        check = partial(_check_fits, ref=ref, base_digest=base_digest, template_digest=template_digest)
        with ExitStack() as leases:
            with self._lock(ref.digest):
                folder = self._lease(ref, check, leases)
            yield folder

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Yields an empty folder on the disk of the weights, and removes it at the end of the context. If the
        process is killed before that, a process that starts at least an hour later removes it. Raises
        Unavailable if the disk is full or fails."""
        with self._cache.unfinished(name) as folder:
            yield folder

    def _lock(self, digest: str) -> threading.Lock:
        with self._locks_lock:
            return self._locks.setdefault(digest, threading.Lock())

    def _lease(self, ref: WeightsRef, check: _Check, leases: ExitStack) -> Path:
        while True:
            with ExitStack() as attempt:
                folder = attempt.enter_context(self._cache.lease(ref.digest))
                if folder is not None and not self._is_whole(folder, ref, check):
                    self._cache.discard(ref.digest)
                    folder = None
                if folder is None:
                    folder = self._download(ref, check, attempt)
                # None: another process was faster, and its folder may be valid.
                if folder is not None:
                    leases.enter_context(attempt.pop_all())
                    return folder

    def _download(self, ref: WeightsRef, check: _Check, leases: ExitStack) -> Path | None:
        content = self._store.get(ref.manifest_key)
        manifest = _parsed(content, ref)
        check(manifest)
        files = _weight_files(manifest)
        self._evict(for_bytes=len(content) + sum(file.bytes for file in files), for_entries=1)
        unfinished = leases.enter_context(self._cache.unfinished(ref.digest))
        write_atomically(unfinished / _MANIFEST, io.BytesIO(content))
        # A separate pool, so that no adapter waits behind another one's files.
        with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="download") as threads:
            # Consuming the results raises their errors.
            list(threads.map(partial(self._download_file, ref, unfinished), files))
        if (folder := self._cache.commit(unfinished, ref.digest)) is not None:
            for file in files:
                self._checksums.learn(folder / file.name, file.sha256)
            # Other downloads may have counted on the same space.
            self._evict()
        return folder

    def _evict(self, *, for_bytes: int = 0, for_entries: int = 0) -> None:
        for folder in self._cache.evict(for_bytes=for_bytes, for_entries=for_entries):
            self._checksums.forget(folder)

    def _download_file(self, ref: WeightsRef, folder: Path, file: ManifestFile) -> None:
        key = sibling_key(ref.manifest_key, file.name)
        if self._store.download(key, folder / file.name).sha256 != file.sha256:
            raise CorruptArtefact(f"The stored bytes of {key} differ from their manifest.")

    def _is_whole(self, folder: Path, ref: WeightsRef, check: _Check) -> bool:
        try:
            manifest = _parsed((folder / _MANIFEST).read_bytes(), ref)
        except (OSError, CorruptArtefact):
            return False
        check(manifest)
        files = _weight_files(manifest)
        return all(self._checksums.of(folder / file.name) == file.sha256 for file in files)


def _parsed(content: bytes, ref: WeightsRef) -> Manifest:
    if hashlib.sha256(content).hexdigest() != ref.digest:
        raise CorruptArtefact(f"The manifest {ref.manifest_key} is not the one with digest {ref.digest}.")
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise CorruptArtefact(f"The manifest {ref.manifest_key} cannot be read: {error}") from error


def _weight_files(manifest: Manifest) -> list[ManifestFile]:
    wanted = set(weight_file_names(manifest))
    return [file for file in manifest.files if file.name in wanted]


def _check_fits(manifest: Manifest, *, ref: WeightsRef, base_digest: str, template_digest: str) -> None:
    if manifest.form != ref.form:
        raise InvalidRequest(f"These weights are of form '{manifest.form}', not '{ref.form}'.", param="model")
    if manifest.base_digest != base_digest:
        raise InvalidRequest(
            f"These weights were trained on {manifest.base_alias} with digest {manifest.base_digest}; "
            f"the base served here has {base_digest}.",
            param="model",
        )
    if manifest.template_sha256 != template_digest:
        raise InvalidRequest(
            "These weights were trained with another chat template than the base has now.", param="model"
        )
    for name in weight_file_names(manifest):
        # Refuses a name that leads outside the folder.
        sibling_key(ref.manifest_key, name)
        if Path(name).suffix not in _ALLOWED:
            allowed = ", ".join(sorted(_ALLOWED))
            raise InvalidRequest(f"Weight file {name!r} is not allowed; only {allowed} are.", param="model")
