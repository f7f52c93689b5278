"""Validates imported adapters and makes them models: the cluster checks and stores the files, and the engine
has to load the adapter and compute with it."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor

import structlog

from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import StoredFile
from cluster.contracts.errors import (
    CorruptArtefact,
    InternalError,
    InvalidConfiguration,
    InvalidRequest,
    NotFound,
    Overloaded,
    TuneryError,
    Unavailable,
)
from cluster.contracts.generation import ModelRef
from cluster.contracts.imports import MAX_BYTES, WEIGHTS_FILE, ImportedAdapter, ImportRequest
from service.db.database import Database
from service.db.files.files import File
from service.db.models.imports import (
    PendingImport,
    begin_try,
    fail_import,
    pending_imports,
    publish_import,
    seconds_tried,
)
from service.db.organization.projects import encryption_key_of
from service.scheduling.interfaces import ServingClient

_log = structlog.get_logger()
_PAUSE_SECONDS = 2.0
"""Before an import is tried again whose cluster does not answer."""


def next_of_each_project(pending: Iterable[PendingImport]) -> list[PendingImport]:
    """Picks each project's import whose last try is longest ago, so that an import that waits for its base
    holds up no other. `pending` begins with the oldest, which is first among those that were not tried
    yet."""
    chosen: dict[str, PendingImport] = {}
    for one in sorted(pending, key=lambda one: one.last_tried_at or 0.0):
        chosen.setdefault(one.project_id, one)
    return list(chosen.values())


class Importer:
    """Validates pending imports, on `workers`: one of each project at a time, so that no project waits for
    all imports of another. A repeated validation stores the same bytes, and only the
    first one publishes, so that any number of importers may run."""

    def __init__(
        self,
        database: Database,
        serving: ServingClient,
        bases: Mapping[str, BaseSpec],
        workers: Executor,
        *,
        timeout_seconds: float,
        max_weights_bytes: int = MAX_BYTES[WEIGHTS_FILE],
        pause_seconds: float = _PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout_seconds` is how long an import may wait for what does not answer, from its first try."""
        self._database = database
        self._serving = serving
        self._bases = bases
        self._workers = workers
        self._timeout_seconds = timeout_seconds
        self._max_weights_bytes = max_weights_bytes
        self._pause_seconds = pause_seconds
        self._busy = threading.Lock()
        self._not_before = 0.0
        self._clock = clock

    def begin(self) -> None:
        """Returns at once. Does nothing while imports are being validated, or after a pause of theirs."""
        if self._clock() >= self._not_before and self._busy.acquire(blocking=False):
            self._workers.submit(self._run)

    def _run(self) -> None:
        try:
            with self._database.read() as session:
                pending = pending_imports(session)
            for one in next_of_each_project(pending):
                self._validate(one)
        except Unavailable as error:
            _log.warning("imports interrupted", error=error.message)
            self._not_before = self._clock() + self._pause_seconds
        except Exception:
            _log.exception("imports failed")
            self._not_before = self._clock() + self._pause_seconds
        finally:
            self._busy.release()

    def _validate(self, one: PendingImport) -> None:
        with self._database.write() as session:
            if not begin_try(session, one.id):
                return
        try:
            adapter = self._checked(one)
        except (Unavailable, Overloaded) as error:
            _log.warning("import is waiting", id=one.id, error=error.message)
            with self._database.read() as session:
                seconds = seconds_tried(session, one.id)
            if seconds > self._timeout_seconds:
                self._fail(one, error.code or "platform_error", error)
            self._not_before = self._clock() + self._pause_seconds
        except (InvalidRequest, CorruptArtefact, InvalidConfiguration) as error:
            code = error.code if error.code not in (None, InvalidRequest.default_code) else "invalid_adapter"
            self._fail(one, code or "invalid_adapter", error)
        except NotFound:
            self._fail(one, "file_not_found", NotFound("A file of the import is missing in storage."))
        except Exception as error:
            fault = error if isinstance(error, InternalError) else InternalError.of("The import")
            _log.exception("import failed", id=one.id, error=fault.message)
            self._fail(one, "internal_error", fault)
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

    def _fail(self, one: PendingImport, code: str, error: TuneryError) -> None:
        _log.warning("import refused", id=one.id, code=code, error=error.message)
        with self._database.write() as session:
            fail_import(session, one.id, code=code, message=error.message, param=error.param)


def _stored(file: File) -> StoredFile:
    return StoredFile(key=file.object_key, sha256=file.sha256)
