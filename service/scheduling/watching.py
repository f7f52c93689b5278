"""Watches attempts: completes interrupted submissions, detects lost runners, and frees what ended attempts
hold."""

import math

import structlog

from cluster.contracts.errors import InternalError, Unavailable
from service.db.scheduler.leases import LeaseLost
from service.db.scheduler.pending_work import Attempt, PendingWork
from service.db.scheduler.store import SchedulerStore
from service.scheduling.interfaces import GONE, RayJobs, RayStatus
from service.scheduling.launching import Launcher
from service.scheduling.policy.lost_attempts import lost_reason
from service.settings import Settings

_log = structlog.get_logger()
_FRESH_SECONDS = 2.0
"""Ray is not asked about a runner whose last heartbeat is younger than this."""


class Watcher:
    def __init__(self, ray: RayJobs, launcher: Launcher, settings: Settings) -> None:
        self._ray = ray
        self._launcher = launcher
        self._settings = settings
        self._timeouts_start_at = 0.0

    def restart_timeouts(self, at: float) -> None:
        """Gives every attempt a full heartbeat time-out from `at` on, because no heartbeat could be written
        before."""
        self._timeouts_start_at = at + self._settings.heartbeat_timeout_seconds

    def watch(self, jobs: SchedulerStore, pending: PendingWork) -> set[tuple[str, int]] | None:
        """Returns the jobs and numbers of the attempts that hold devices, or None if Ray does not answer."""
        if self._is_any_silent(pending) and not jobs.is_api_up():
            self.restart_timeouts(pending.at)
        held: set[tuple[str, int]] = set()
        ray_answers = True
        for attempt in pending.attempts:
            is_over = False
            try:
                status = self._status(attempt, pending.at) if ray_answers else None
                is_over = self._look_after(jobs, attempt, status, pending.at)
            except LeaseLost:
                raise
            except Unavailable as error:
                _log.warning("attempt not checked", job=attempt.job_id, error=error.message)
                self._report_wait(jobs, attempt, error)
                # Every further call would only run into another time-out.
                ray_answers = ray_answers and error.code != "ray_unavailable"
            except Exception:
                self._give_up(jobs, attempt)
            if not is_over:
                held.add((attempt.job_id, attempt.number))
        return held if ray_answers else None

    def _status(self, attempt: Attempt, at: float) -> RayStatus | None:
        is_fresh = attempt.state == "running" and at - attempt.heartbeat_at < _FRESH_SECONDS
        return None if is_fresh else self._ray.status(attempt.submission_id)

    def _look_after(
        self, jobs: SchedulerStore, attempt: Attempt, status: RayStatus | None, at: float
    ) -> bool:
        """Returns whether the attempt has ended and holds nothing any more."""
        if attempt.state == "ended":
            return status is not None and self._reap(jobs, attempt, status, at)
        if attempt.state == "submitting":
            if status is not None:
                self._launcher.recover(jobs, attempt, status)
            return False
        reason = lost_reason(attempt, status, at=at, silence_seconds=self._silence_seconds(attempt, at))
        if reason is not None:
            if jobs.mark_lost(attempt, reason):
                _log.warning("attempt lost", job=attempt.job_id, attempt=attempt.number, reason=reason)
        elif status is not None:
            self._log_silence(attempt, at)
        return False

    def _silence_seconds(self, attempt: Attempt, at: float) -> float:
        """A live process gets `heartbeat_grace_seconds` more: its host may be too busy for it to sync."""
        if at < self._timeouts_start_at:
            return math.inf
        return self._timeout_seconds(attempt) + self._settings.heartbeat_grace_seconds

    def _timeout_seconds(self, attempt: Attempt) -> float:
        has_spoken = attempt.state == "running"
        return (
            self._settings.heartbeat_timeout_seconds if has_spoken else self._settings.start_timeout_seconds
        )

    def _is_any_silent(self, pending: PendingWork) -> bool:
        return any(
            attempt.state != "ended" and self._is_silent(attempt, pending.at) for attempt in pending.attempts
        )

    def _is_silent(self, attempt: Attempt, at: float) -> bool:
        return at - attempt.heartbeat_at > self._timeout_seconds(attempt)

    def _log_silence(self, attempt: Attempt, at: float) -> None:
        if self._is_silent(attempt, at):
            _log.warning(
                "attempt is silent, but its process is alive", job=attempt.job_id, attempt=attempt.number
            )

    def _report_wait(self, jobs: SchedulerStore, attempt: Attempt, error: Unavailable) -> None:
        """Tells the owner of a job that is about to start what it is waiting for. There is no time limit,
        because no job can start without Ray."""
        if attempt.state == "submitting":
            jobs.note_wait(jobs.job(attempt.job_id), "The start", error, timeout_seconds=math.inf)

    def _give_up(self, jobs: SchedulerStore, attempt: Attempt) -> None:
        """Called in the handler of an unexpected error: the next attempt may succeed."""
        if attempt.state == "ended":
            _log.exception("attempt not checked", job=attempt.job_id)
            return
        fault = InternalError.of("Looking after the attempt")
        _log.exception("attempt not checked", job=attempt.job_id, error=fault.message)
        jobs.mark_lost(attempt, fault.message)

    def _reap(self, jobs: SchedulerStore, attempt: Attempt, status: RayStatus, at: float) -> bool:
        if status in GONE:
            jobs.release(attempt)
            return True
        assert attempt.ended_at is not None
        if at - attempt.ended_at >= self._settings.stop_grace_seconds:
            self._ray.stop(attempt.submission_id)
        return False
