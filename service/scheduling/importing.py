"""Validates imported adapters and turns them into models: the cluster checks and stores the files, and the
engine has to load the adapter and compute with it."""

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, Future
from functools import partial

import structlog

from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import StoredFile
from cluster.contracts.errors import InvalidConfiguration, InvalidRequest, NotFound
from cluster.contracts.generation import ModelRef
from cluster.contracts.imports import MAX_BYTES, WEIGHTS_FILE, ImportedAdapter, ImportRequest
from service.db.database import Database
from service.db.files.files import File
from service.db.models.imports import PendingImport, note_trouble, pending_imports, publish_import
from service.db.organization.projects import encryption_key_of
from service.db.troubles import triage
from service.scheduling.interfaces import ServingClient
from service.scheduling.periodic import NoteFailure, Periodic, guarded

_log = structlog.get_logger()
_AT_ONCE = 4
"""Projects whose imports are validated at the same time."""


def next_of_each_project(pending: Iterable[PendingImport]) -> list[PendingImport]:
    """Picks, for each project, the import whose last failed try is longest ago, so that an import that waits
    for its base does not hold up others. `pending` is ordered oldest first; imports that have not failed yet
    are picked first, in that order."""
    chosen: dict[str, PendingImport] = {}
    for one in sorted(pending, key=lambda one: one.retry_at or 0.0):
        chosen.setdefault(one.project_id, one)
    return list(chosen.values())


class Importer:
    """Validates pending imports on `workers`: one at a time per project, and those of several projects at
    once, so that no project waits for another's base. A repeated validation stores the same bytes, and only
    the first one publishes, so any number of importers may run."""

    def __init__(
        self,
        database: Database,
        serving: ServingClient,
        bases: Mapping[str, BaseSpec],
        workers: Executor,
        *,
        timeout_seconds: float,
        note_failure: NoteFailure = lambda name: None,
        max_weights_bytes: int = MAX_BYTES[WEIGHTS_FILE],
    ) -> None:
        """`timeout_seconds` is how long an import may wait for a dependency that does not answer."""
        self._database = database
        self._serving = serving
        self._bases = bases
        self._workers = workers
        self._timeout_seconds = timeout_seconds
        self._note_failure = note_failure
        self._max_weights_bytes = max_weights_bytes
        self._running: dict[str, Future[None]] = {}
        """The running import of each project."""
        self._rounds = Periodic(
            "imports", self._begin_each, workers, pause_seconds=0, note_failure=note_failure
        )

    def begin(self) -> None:
        """Returns at once."""
        self._rounds.begin_if_due()

    def _begin_each(self) -> None:
        # Look at the running imports before the read: the read then sees the result of those that have ended.
        running = {project: task for project, task in self._running.items() if not task.done()}
        with self._database.read() as session:
            pending = pending_imports(session)
        for one in next_of_each_project(pending):
            if one.project_id not in running and len(running) < _AT_ONCE:
                validate = partial(self._validate, one)
                running[one.project_id] = self._workers.submit(
                    guarded, "imports", validate, self._note_failure
                )
        self._running = running

    def _validate(self, one: PendingImport) -> None:
        try:
            adapter = self._checked(one)
        except Exception as error:
            trouble = triage(_named(error), "The import")
            log = _log.exception if trouble.kind == "fault" else _log.warning
            log("import not validated", id=one.id, code=trouble.code, error=trouble.error.message)
            with self._database.write() as session:
                note_trouble(session, one.id, trouble, timeout_seconds=self._timeout_seconds)
        else:
            with self._database.write() as session:
                is_published = publish_import(session, one.id, adapter)
            if is_published:
                _log.info("imported", id=one.id)

    def _checked(self, one: PendingImport) -> ImportedAdapter:
        base = self._bases.get(one.base)
        if base is None:
            raise InvalidConfiguration(f"The base model '{one.base}' is no longer in the catalogue.")
        with self._database.read() as session:
            encryption_key = encryption_key_of(session, one.project_id)
        adapter = self._serving.import_adapter(
            ImportRequest(
                import_id=one.id,
                base=base,
                config=_stored(one.config),
                weights=_stored(one.weights),
                max_weights_bytes=self._max_weights_bytes,
                encryption_key=encryption_key,
            )
        )
        scores = self._serving.score(ModelRef(base=base, adapter=adapter.weights), adapter.rows)
        if not all(math.isfinite(score) for row in scores.logprobs for score in row):
            raise InvalidRequest(
                "With this adapter the model computes numbers that are not finite.",
                code="invalid_adapter",
                param="files",
            )
        return adapter


def _named(error: Exception) -> Exception:
    """Returns the error in terms that the import's owner knows."""
    if isinstance(error, NotFound):
        return InvalidRequest("A file of the import is missing in storage.", code="file_not_found")
    if isinstance(error, InvalidRequest) and error.code == InvalidRequest.default_code:
        return InvalidRequest(error.message, code="invalid_adapter", param=error.param)
    return error


def _stored(file: File) -> StoredFile:
    return StoredFile(key=file.object_key, sha256=file.sha256)
