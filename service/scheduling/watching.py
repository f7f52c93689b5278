"""Looks after attempts: finishes cut-off submissions, notices lost runners, and frees what ended ones
hold."""

import math

import structlog

from cluster.contracts.errors import InternalError, Unavailable
from service.db.leases import LeaseLost
from service.db.scheduler_store import Work
from service.db.snapshot import Attempt, Snapshot
from service.scheduling.interfaces import GONE, RayJobs, RayStatus
from service.scheduling.launching import Launcher
from service.scheduling.policy import reason_lost
from service.settings import Settings

_log = structlog.get_logger()
_QUIET_SECONDS = 2.0
"""Ray is not asked about a runner that spoke so recently."""


class Watcher:
    def __init__(self, ray: RayJobs, launcher: Launcher, settings: Settings) -> None:
        self._ray = ray
        self._launcher = launcher
        self._settings = settings
        self._trust_silence_from = 0.0

    def excuse_silence(self, at: float) -> None:
        """The database was down until `at`, so that no heartbeat could be written: everyone has a whole lease
        to speak again."""
        self._trust_silence_from = at + self._settings.heartbeat_timeout_seconds

    def watch(self, work: Work, seen: Snapshot) -> int | None:
        """Returns how many training processes are held, or None if Ray does not answer."""
        held = 0
        ray_answers = True
        for attempt in seen.attempts:
            is_over = False
            try:
                status = self._status(attempt, seen.at) if ray_answers else None
                is_over = self._look_after(work, attempt, status, seen.at)
            except LeaseLost:
                raise
            except Unavailable as error:
                _log.warning("attempt not looked after", job=attempt.job_id, error=error.message)
                self._tell_wait(work, attempt, error)
                # Each further question would only wait for another time-out.
                ray_answers = ray_answers and error.code != "ray_unavailable"
            except Exception:
                self._give_up(work, attempt)
            held += 0 if is_over else attempt.num_workers
        return held if ray_answers else None

    def _status(self, attempt: Attempt, at: float) -> RayStatus | None:
        is_fresh = attempt.state == "running" and at - attempt.heartbeat_at < _QUIET_SECONDS
        return None if is_fresh else self._ray.status(attempt.submission_id)

    def _look_after(self, work: Work, attempt: Attempt, status: RayStatus | None, at: float) -> bool:
        """Returns whether the attempt is over and holds nothing any more."""
        if attempt.state == "ended":
            return status is not None and self._reap(work, attempt, status, at)
        if attempt.state == "submitting":
            if status is not None:
                self._launcher.recover(work, attempt, status)
            return False
        reason = reason_lost(attempt, status, at=at, silence_seconds=self._silence_seconds(attempt, at))
        if reason is not None:
            if work.lose(attempt, reason):
                _log.warning("attempt lost", job=attempt.job_id, attempt=attempt.number, reason=reason)
        elif status is not None:
            self._log_doubt(attempt, at)
        return False

    def _silence_seconds(self, attempt: Attempt, at: float) -> float:
        """A process that lives is given more than its lease: its host may be too busy to let it speak."""
        if at < self._trust_silence_from:
            return math.inf
        return self._lease_seconds(attempt) + self._settings.heartbeat_grace_seconds

    def _lease_seconds(self, attempt: Attempt) -> float:
        has_spoken = attempt.state == "running"
        return (
            self._settings.heartbeat_timeout_seconds if has_spoken else self._settings.start_timeout_seconds
        )

    def _log_doubt(self, attempt: Attempt, at: float) -> None:
        if at - attempt.heartbeat_at > self._lease_seconds(attempt):
            _log.warning(
                "attempt is silent, but its process lives", job=attempt.job_id, attempt=attempt.number
            )

    def _tell_wait(self, work: Work, attempt: Attempt, error: Unavailable) -> None:
        """The owner of a job that is about to start learns what for it waits; there is no limit, because Ray
        away keeps every job from starting."""
        if attempt.state == "submitting":
            work.wait(work.job(attempt.job_id), "The start", error, patience_seconds=math.inf)

    def _give_up(self, work: Work, attempt: Attempt) -> None:
        """Called in the handler of an error that nobody foresaw: the next attempt may do better."""
        if attempt.state == "ended":
            _log.exception("attempt not looked after", job=attempt.job_id)
            return
        fault = InternalError.of("Looking after the attempt")
        _log.exception("attempt not looked after", job=attempt.job_id, error=fault.message)
        work.lose(attempt, fault.message)

    def _reap(self, work: Work, attempt: Attempt, status: RayStatus, at: float) -> bool:
        if status in GONE:
            work.release(attempt)
            return True
        assert attempt.ended_at is not None
        if at - attempt.ended_at >= self._settings.stop_grace_seconds:
            self._ray.stop(attempt.submission_id)
        return False
