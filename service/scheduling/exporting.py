"""Makes exports on the cluster, and follows them to their end."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

import structlog
from sqlalchemy.orm import Session

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import (
    CorruptArtefact,
    InternalError,
    InvalidConfiguration,
    InvalidRequest,
    NotFound,
    Overloaded,
    QuotaExceeded,
    TuneryError,
    Unavailable,
)
from cluster.contracts.exports import ExportAnswer, ExportRequest
from service.db.database import Database
from service.db.limits.names import Defaults
from service.db.limits.quotas import check_stored_bytes
from service.db.models.exports import (
    ModelExport,
    fail_export,
    finish_export,
    note_fault,
    note_progress,
    pending_exports,
)
from service.db.organization.projects import encryption_key_of
from service.db.retention.rules import RetentionRules
from service.db.retention.terms import terms_of
from service.scheduling.interfaces import ServingClient

_log = structlog.get_logger()
_PAUSE_SECONDS = 2.0
"""Between two looks at the exports that are being made."""


class Exporter:
    """Asks the cluster about each pending export, on `workers`, which begins it or tells how far it is. The
    cluster makes them, and keeps one project's from holding up another's. Asking again changes nothing, so
    that any number of exporters may run, and any of them may go on with what another has begun."""

    def __init__(
        self,
        database: Database,
        serving: ServingClient,
        bases: Mapping[str, BaseSpec],
        workers: Executor,
        *,
        limits: Defaults,
        retention: RetentionRules,
        timeout_seconds: float,
        pause_seconds: float = _PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`limits` are those of a project that has none of its own. An export is kept once it has ended,
        as `retention` and its project say, and may wait for `timeout_seconds` for what does not answer."""
        self._database = database
        self._serving = serving
        self._bases = bases
        self._workers = workers
        self._limits = limits
        self._retention = retention
        self._timeout_seconds = timeout_seconds
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._busy = threading.Lock()
        self._not_before = 0.0
        self._waiting_since: dict[str, float] = {}
        """When exports began to wait for what does not answer, by id and this clock."""

    def begin(self) -> None:
        """Returns at once. Does nothing while exports are being looked at, or soon after."""
        if self._clock() >= self._not_before and self._busy.acquire(blocking=False):
            self._workers.submit(self._run)

    def _run(self) -> None:
        try:
            with self._database.read() as session:
                pending = pending_exports(session)
            since = self._waiting_since
            self._waiting_since = {one.id: since[one.id] for one in pending if one.id in since}
            for one in pending:
                self._follow(one)
        except Unavailable as error:
            _log.warning("exports interrupted", error=error.message)
        except Exception:
            _log.exception("exports failed")
        finally:
            self._not_before = self._clock() + self._pause_seconds
            self._busy.release()

    def _follow(self, one: ModelExport) -> None:
        try:
            answer = self._serving.export_weights(self._request(one))
        except (Unavailable, Overloaded) as error:
            _log.warning("export is waiting", id=one.id, error=error.message)
            since = self._waiting_since.setdefault(one.id, self._clock())
            if self._clock() - since > self._timeout_seconds:
                self._fail(one, error)
        except (InvalidRequest, CorruptArtefact, InvalidConfiguration) as error:
            self._fail(one, error)
        except NotFound:
            self._fail(one, CorruptArtefact("The model's weights are missing in storage."))
        except Exception as error:
            fault = error if isinstance(error, InternalError) else InternalError.of("The export")
            _log.exception("export interrupted", id=one.id, error=fault.message)
            with self._database.write() as session:
                note_fault(session, one.id, fault, seconds=self._kept_seconds(session, one))
        else:
            self._waiting_since.pop(one.id, None)
            self._note(one, answer)

    def _note(self, one: ModelExport, answer: ExportAnswer) -> None:
        total = answer.progress.total_bytes if answer.result is None else answer.result.bytes
        try:
            with self._database.write() as session:
                if one.total_bytes is None and total is not None:
                    check_stored_bytes(session, one.owner, total, self._limits)
                if answer.result is None:
                    note_progress(session, one.id, answer.progress)
                else:
                    seconds = self._kept_seconds(session, one)
                    finish_export(session, one.id, answer.result, seconds=seconds)
                    _log.info("exported", id=one.id, bytes=answer.result.bytes)
        except QuotaExceeded as error:
            self._fail(one, error)

    def _request(self, one: ModelExport) -> ExportRequest:
        base = self._bases.get(one.base)
        if base is None:
            raise InvalidConfiguration(f"The base model '{one.base}' is no longer in the catalogue.")
        with self._database.read() as session:
            encryption_key = encryption_key_of(session, one.owner.project_id)
        return ExportRequest(
            export_id=one.id,
            project_id=one.owner.project_id,
            model=one.model,
            base=base,
            weights=one.weights,
            format=one.format,
            quantization=one.quantization,
            encryption_key=encryption_key,
        )

    def _fail(self, one: ModelExport, error: TuneryError) -> None:
        _log.warning("export refused", id=one.id, code=error.code, error=error.message)
        with self._database.write() as session:
            fail_export(session, one.id, error, seconds=self._kept_seconds(session, one))

    def _kept_seconds(self, session: Session, one: ModelExport) -> float | None:
        return terms_of(session, self._retention, one.owner.project_id)["exports"].seconds
