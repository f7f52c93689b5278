"""Limits on jobs and stored files, checked in the transaction that creates or resumes them.

The row of the project, and that of the organization if it is limited, are locked first, so that of two
concurrent requests the second one counts what the first one has written."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from cluster.contracts.errors import QuotaExceeded, RateLimited
from service.db.database import now
from service.db.limits.limits import Limits
from service.db.limits.names import UNLIMITED, Defaults, LimitName
from service.db.limits.quota_use import (
    DAY_SECONDS,
    Owned,
    device_seconds_this_month,
    job_times_of_a_day,
    jobs_of_key,
    jobs_of_organization,
    jobs_of_project,
    num_jobs_under_way,
    stored_bytes,
)
from service.db.organization.organizations import lock_organization
from service.db.organization.projects import lock_project
from service.db.tenancy import Tenant


class Quotas:
    """The limits of a tenant, of its organization, and of the key of the request."""

    def __init__(self, session: Session, tenant: Tenant, api_key_id: str, defaults: Defaults) -> None:
        """`defaults` are the limits of a project without limits of its own."""
        self._session = session
        self._tenant = tenant
        limits = Limits(session)
        project = _Subject(
            f"project {tenant.project_id}",
            dict(defaults) | limits.of(tenant.project_id),
            jobs_of_project(tenant.project_id),
        )
        key = _Subject(f"API key {api_key_id}", limits.of(api_key_id), jobs_of_key(api_key_id))
        organization_id = tenant.organization_id
        organization = _Subject(
            f"organization {organization_id}",
            limits.of(organization_id),
            jobs_of_organization(organization_id),
            organization_id=organization_id,
        )
        self._subjects = (project, key, organization)

    def check_new_job(self) -> None:
        """Raises RateLimited if too many jobs are under way or were created within a day, and QuotaExceeded
        if the device hours of the month are used up. Call it before the job's row is written."""
        self._check_device_hours()
        for subject, limit in self._limits("jobs_per_day"):
            self._check_day(subject, limit)
        self._check_concurrent(num_others=0)

    def check_resumed_job(self) -> None:
        """Like `check_new_job`, but without the daily limit. Call it after the job's row is written."""
        self._check_device_hours()
        self._check_concurrent(num_others=1)

    def _check_device_hours(self) -> None:
        """Called before anything is locked, because it reads a month of attempts. That is safe: a new job has
        not used anything yet, so other requests cannot change the result."""
        for subject, limit in self._limited("device_hours_per_month"):
            used = device_seconds_this_month(
                self._session, subject.owns, organization_id=subject.organization_id
            )
            _check_device_hours(subject, limit, used / 3600)

    def _check_concurrent(self, num_others: int) -> None:
        for subject, limit in self._limits("concurrent_jobs"):
            num_jobs = num_jobs_under_way(self._session, subject.owns) - num_others
            if num_jobs >= limit:
                raise RateLimited(
                    f"Rate limit reached for fine-tuning jobs in {subject.name} on concurrent jobs: Limit "
                    f"{limit}, Used {num_jobs}, Requested 1. Wait until a job has ended, or cancel or pause "
                    "one.",
                    unit="requests",
                    retry_after_seconds=None,
                )

    def _check_day(self, subject: "_Subject", limit: int) -> None:
        times = job_times_of_a_day(self._session, subject.owns, organization_id=subject.organization_id)
        if len(times) < limit:
            return
        # With `limit` jobs, the oldest one must become older than a day; with more, others must too.
        seconds = None
        if limit:
            seconds = times[len(times) - limit] + DAY_SECONDS + 1 - now(self._session)
        raise RateLimited(
            f"Rate limit reached for fine-tuning jobs in {subject.name} on jobs per day: Limit {limit}, "
            f"Used {len(times)}, Requested 1.",
            unit="requests",
            retry_after_seconds=seconds,
        )

    def _limits(self, name: LimitName) -> list[tuple["_Subject", int]]:
        """The limited subjects, with the limit of each. If there are any, locks the project, and then the
        organization if it is one of them."""
        limits = self._limited(name)
        if limits:
            lock_project(self._session, self._tenant)
        if any(subject.organization_id for subject, _ in limits):
            lock_organization(self._session, self._tenant.organization_id)
        return limits

    def _limited(self, name: LimitName) -> list[tuple["_Subject", int]]:
        found = ((subject, subject.limits.get(name, UNLIMITED)) for subject in self._subjects)
        return [(subject, limit) for subject, limit in found if limit != UNLIMITED]


def check_stored_bytes(session: Session, tenant: Tenant, more: int, defaults: Defaults) -> None:
    """Raises QuotaExceeded if `more` bytes, together with the files and exports of the project or those of
    its organization, would exceed the limit."""
    limits = Limits(session)
    of_project = (dict(defaults) | limits.of(tenant.project_id)).get("stored_bytes", UNLIMITED)
    of_organization = limits.of(tenant.organization_id).get("stored_bytes", UNLIMITED)
    if min(of_project, of_organization) == UNLIMITED:
        return
    lock_project(session, tenant)
    if of_project != UNLIMITED:
        used = stored_bytes(session, tenant)
        _check_storage(f"project {tenant.project_id}", of_project, used, more)
    if of_organization != UNLIMITED:
        lock_organization(session, tenant.organization_id)
        used = stored_bytes(session, tenant, of_organization=True)
        _check_storage(f"organization {tenant.organization_id}", of_organization, used, more)


@dataclass(frozen=True, slots=True)
class _Subject:
    """A project, a key or an organization."""

    name: str
    limits: dict[LimitName, int]
    owns: Owned
    """Selects its jobs."""
    organization_id: str | None = None
    """None for a project or a key."""


def _check_device_hours(subject: _Subject, limit: int, used: float) -> None:
    if used >= limit:
        raise QuotaExceeded(
            f"You exceeded the training quota of {subject.name}: Limit {limit} device-hours a month, Used "
            f"{used:.2f}. It is renewed on the first day of the month (UTC); or ask your operator for more."
        )


def _check_storage(subject: str, limit: int, used: int, more: int) -> None:
    if used + more > limit:
        raise QuotaExceeded(
            f"You exceeded the storage quota of {subject}: Limit {limit} bytes, Used {used}, Requested "
            f"{more}. Delete files or exports that are not needed, or ask your operator for more."
        )
