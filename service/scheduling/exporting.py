"""Has the cluster make exports, and follows them until they end."""

from collections.abc import Mapping
from concurrent.futures import Executor

import structlog
from sqlalchemy.orm import Session

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import CorruptArtefact, InvalidConfiguration, NotFound, QuotaExceeded
from cluster.contracts.exports import ExportAnswer, ExportRequest
from service.db.database import Database
from service.db.limits.names import Defaults
from service.db.limits.quotas import check_stored_bytes
from service.db.models.exports import (
    ModelExport,
    finish_export,
    note_progress,
    note_trouble,
    pending_exports,
)
from service.db.organization.projects import encryption_key_of
from service.db.retention.rules import RetentionRules
from service.db.retention.terms import terms_of
from service.db.troubles import Trouble, triage
from service.scheduling.interfaces import ServingClient
from service.scheduling.periodic import NoteFailure, Periodic

_log = structlog.get_logger()
_PAUSE_SECONDS = 2.0
"""Seconds between two rounds of looking at the exports in progress."""


class Exporter:
    """Asks the cluster about each pending export, on `workers`. The cluster then starts the export or reports
    its progress; it makes sure that no project's exports hold up another's. Asking again changes nothing, so
    any number of exporters may run, and any of them can continue what another has started."""

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
        note_failure: NoteFailure = lambda name: None,
    ) -> None:
        """`limits` apply to projects without limits of their own. An ended export is kept as `retention` and
        its project say. An export may wait `timeout_seconds` for a dependency that does not answer."""
        self._database = database
        self._serving = serving
        self._bases = bases
        self._limits = limits
        self._retention = retention
        self._timeout_seconds = timeout_seconds
        self._rounds = Periodic(
            "exports", self._follow_each, workers, pause_seconds=pause_seconds, note_failure=note_failure
        )

    def begin(self) -> None:
        """Returns at once. Does nothing while a round is running, or shortly after one."""
        self._rounds.begin_if_due()

    def _follow_each(self) -> None:
        with self._database.read() as session:
            pending = pending_exports(session)
        for one in pending:
            self._follow(one)

    def _follow(self, one: ModelExport) -> None:
        try:
            answer = self._serving.export_weights(self._request(one))
        except NotFound:
            missing = CorruptArtefact("The model's weights are missing in storage.")
            self._note_trouble(one, Trouble("refusal", missing))
        except Exception as error:
            self._note_trouble(one, triage(error, "The export"))
        else:
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
            self._note_trouble(one, Trouble("refusal", error))

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

    def _note_trouble(self, one: ModelExport, trouble: Trouble) -> None:
        log = _log.exception if trouble.kind == "fault" else _log.warning
        log("export not made", id=one.id, code=trouble.code, error=trouble.error.message)
        with self._database.write() as session:
            seconds = self._kept_seconds(session, one)
            note_trouble(session, one.id, trouble, timeout_seconds=self._timeout_seconds, seconds=seconds)

    def _kept_seconds(self, session: Session, one: ModelExport) -> float | None:
        return terms_of(session, self._retention, one.owner.project_id)["exports"].seconds
