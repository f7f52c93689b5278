"""Checks a history against the promises of reliability, in pure functions."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from itertools import pairwise
from typing import TypeVar

from cluster.contracts.jobs import TRANSITIONS, JobStatus
from tests.chaos.history import AttemptRow, EventRow, History

_TOPICS = {
    JobStatus.SUCCEEDED: "fine_tuning.job.succeeded",
    JobStatus.FAILED: "fine_tuning.job.failed",
    JobStatus.CANCELLED: "fine_tuning.job.cancelled",
}
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def audit(history: History, *, checkpoint_steps: int) -> list[str]:
    """Returns problems that are wrong at any moment, as sentences; empty if there are none.
    `checkpoint_steps` is the number of steps between two stored states."""
    return [
        *_lost_jobs(history),
        *_models(history),
        *_transitions(history),
        *_notifications(history),
        *_events(history),
        *_attempts(history),
        *_lost_work(history, checkpoint_steps),
    ]


def audit_end(history: History, *, failures: Collection[str] = ()) -> list[str]:
    """Returns problems that remain once everything works again, nothing is left to do, and a sweep without
    grace time has run. `failures` are the error codes with which jobs may have failed."""
    problems = []
    for job in history.jobs:
        if not JobStatus(job.status).is_terminal:
            problems.append(f"{job.id} never ended: it is {job.status}")
        elif job.status == JobStatus.FAILED and job.error_code not in failures:
            problems.append(f"{job.id} failed with {job.error_code}")
    problems += [
        f"attempt {attempt.number} of {attempt.job_id} still holds devices"
        for attempt in history.attempts
        if not attempt.is_released
    ]
    return [*problems, *_missing_objects(history), *_orphan_objects(history)]


def most_lost_steps(history: History) -> int:
    """The largest number of steps that an attempt has repeated."""
    return max((lost for _, lost in _lost_steps(history)), default=0)


def _lost_jobs(history: History) -> Iterator[str]:
    for job_id in sorted(history.accepted - {job.id for job in history.jobs}):
        yield f"{job_id} was accepted and is lost"


def _models(history: History) -> Iterator[str]:
    counts = Counter(model.job_id for model in history.models)
    for job_id, count in counts.items():
        if count > 1:
            yield f"{job_id} has {count} models"
    for job in history.jobs:
        has_succeeded = job.status == JobStatus.SUCCEEDED
        if has_succeeded != (counts[job.id] > 0):
            yield f"{job.id} is {job.status} and has {counts[job.id]} model(s)"


def _transitions(history: History) -> Iterator[str]:
    """Checks that each transition starts where the previous one ended, and is in the table."""
    of_job = _by(history.transitions, lambda each: each.job_id)
    for job in history.jobs:
        place, version = None, -1
        for each in of_job[job.id]:
            if each.source != place:
                yield f"{job.id} moved from {each.source}, but was {place}"
            if each.source is not None and each.target not in TRANSITIONS[JobStatus(each.source)]:
                yield f"{job.id} moved from {each.source} to {each.target}"
            if each.version != version + 1:
                yield f"{job.id} moved from version {version} to {each.version}"
            place, version = each.target, each.version
        if place != job.status:
            yield f"{job.id} is {job.status}, but moved to {place}"


def _notifications(history: History) -> Iterator[str]:
    """Checks that there is one notification for each end."""
    sent = Counter(history.notifications)
    ends = Counter(
        (_TOPICS[JobStatus(each.target)], each.job_id)
        for each in history.transitions
        if each.target in _TOPICS and each.target != each.source
    )
    created = Counter(("fine_tuning.job.created", job.id) for job in history.jobs)
    wanted = ends + created
    for topic, job_id in sorted((sent - wanted) + (wanted - sent)):
        count = sent[topic, job_id]
        yield f"{job_id} has {count} notification(s) of {topic}, not {wanted[topic, job_id]}"


def _events(history: History) -> Iterator[str]:
    of_job = _by(history.events, lambda event: event.job_id)
    for id, count in Counter(event.id for event in history.events).items():
        if count > 1:
            yield f"event {id} exists {count} times"
    for job in history.jobs:
        numbers = [event.seq for event in of_job[job.id]]
        if numbers != list(range(job.num_events)):
            yield f"{job.id} has {job.num_events} events, numbered {numbers}"
        steps = [event.step for event in of_job[job.id] if event.step is not None]
        if steps != list(range(1, len(steps) + 1)):
            yield f"{job.id} reported the steps {steps}"


def _attempts(history: History) -> Iterator[str]:
    """Checks that attempts follow one another, and that the newest is the job's."""
    of_job = _by(history.attempts, lambda attempt: attempt.job_id)
    for job in history.jobs:
        attempts = of_job[job.id]
        if [attempt.number for attempt in attempts] != list(range(1, job.attempt + 1)):
            yield f"{job.id} has {job.attempt} attempt(s): {[attempt.number for attempt in attempts]}"
        for before, after in pairwise(attempts):
            if before.ended_at is None or before.ended_at > after.created_at:
                yield f"attempt {after.number} of {job.id} began before the one before it had ended"
        if JobStatus(job.status).is_terminal and any(not attempt.is_over for attempt in attempts):
            yield f"{job.id} is {job.status}, and an attempt of it goes on"


def _lost_work(history: History, checkpoint_steps: int) -> Iterator[str]:
    for attempt, lost in _lost_steps(history):
        if lost > checkpoint_steps:
            yield f"attempt {attempt.number} of {attempt.job_id} does {lost} steps again"


def _lost_steps(history: History) -> Iterator[tuple[AttemptRow, int]]:
    events = _by(history.events, lambda event: event.job_id)
    for attempt in history.attempts:
        yield attempt, _steps_before(attempt, events[attempt.job_id]) - attempt.resumed_at


def _steps_before(attempt: AttemptRow, events: Iterable[EventRow]) -> int:
    done = [event.step or 0 for event in events if (event.attempt or attempt.number) < attempt.number]
    return max(done, default=0)


def _missing_objects(history: History) -> Iterator[str]:
    for model in history.models:
        if not model.is_deleted and f"{model.folder}manifest.json" not in history.objects:
            yield f"{model.name} has no weights in storage"
    for key in sorted(history.files - history.objects):
        yield f"{key} is not in storage"


def _orphan_objects(history: History) -> Iterator[str]:
    kept = tuple(history.named_folders)
    for key in sorted(history.objects - history.files):
        # Compiled files may stay as long as their file does; readiness checks leave a probe.
        if not key.startswith((*kept, "datasets/", "health/")):
            yield f"{key} belongs to nothing"


def _by(items: Iterable[T], key: Callable[[T], K]) -> defaultdict[K, list[T]]:
    grouped: defaultdict[K, list[T]] = defaultdict(list)
    for item in items:
        grouped[key(item)].append(item)
    return grouped
