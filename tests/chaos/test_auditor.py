"""The auditor finds each kind of damage in a history, and none in a good one."""

from dataclasses import replace

import pytest

from tests.chaos.auditor import audit, audit_end
from tests.chaos.history import AttemptRow, EventRow, History, JobRow, ModelRow, Transition

FOLDER = "jobs/a/attempts/2/checkpoints/step-00000004/"
PATH = ("validating_files", "queued", "starting", "running", "queued", "starting", "running", "publishing")


def moves(job_id: str, *path: str) -> tuple[Transition, ...]:
    return tuple(
        Transition(job_id, source, target, version)
        for version, (source, target) in enumerate(zip((None, *path), path, strict=False))
    )


GOOD = History(
    accepted=frozenset({"a", "b"}),
    jobs=(JobRow("a", "succeeded", 2, 5), JobRow("b", "cancelled", 0, 1)),
    transitions=(*moves("a", *PATH, "succeeded"), *moves("b", "validating_files", "cancelled")),
    events=(
        *(EventRow("a", seq, f"a{seq}", step=seq or None, attempt=1 + seq // 4) for seq in range(5)),
        EventRow("b", 0, "b0"),
    ),
    attempts=(
        AttemptRow("a", 1, is_over=True, created_at=1, ended_at=2),
        AttemptRow("a", 2, is_over=True, resumed_at=2, created_at=3, ended_at=4),
    ),
    models=(ModelRow("ft:a", "a", FOLDER),),
    notifications=(
        ("fine_tuning.job.created", "a"),
        ("fine_tuning.job.created", "b"),
        ("fine_tuning.job.cancelled", "b"),
        ("fine_tuning.job.succeeded", "a"),
    ),
    files=frozenset({"files/1"}),
    named_folders=frozenset({FOLDER}),
    objects=frozenset({"files/1", f"{FOLDER}manifest.json"}),
)


def found(history: History, steps: int = 2) -> str:
    return "\n".join(audit(history, checkpoint_steps=steps) + audit_end(history))


def with_event(**changes: object) -> History:
    return replace(GOOD, events=(*GOOD.events[:-1], replace(GOOD.events[-1], **changes)))


def with_attempt(number: int, **changes: object) -> tuple[AttemptRow, ...]:
    return tuple(replace(each, **changes) if each.number == number else each for each in GOOD.attempts)


def test_nothing_is_wrong_with_a_good_history() -> None:
    assert found(GOOD) == ""


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (replace(GOOD, accepted=GOOD.accepted | {"c"}), "c was accepted and is lost"),
        (replace(GOOD, models=(*GOOD.models, ModelRow("ft:b", "a", FOLDER))), "a has 2 models"),
        (replace(GOOD, models=()), "a is succeeded and has 0 model"),
        (replace(GOOD, models=(*GOOD.models, ModelRow("ft:b", "b", FOLDER))), "b is cancelled and has 1"),
        (
            replace(GOOD, transitions=moves("a", *PATH, "succeeded", "running") + GOOD.transitions[-2:]),
            "a moved from succeeded to running",
        ),
        (
            replace(GOOD, transitions=GOOD.transitions[:3] + GOOD.transitions[4:]),
            "a moved from running, but was starting",
        ),
        (replace(GOOD, transitions=GOOD.transitions[:-1]), "b is cancelled, but moved to validating"),
        (replace(GOOD, notifications=GOOD.notifications[1:]), "a has 0 notification"),
        (replace(GOOD, notifications=GOOD.notifications * 2), "a has 2 notification"),
        (with_event(id="a0"), "event a0 exists 2 times"),
        (with_event(seq=1), "b has 1 events, numbered [1]"),
        (
            replace(GOOD, events=(*GOOD.events[:4], replace(GOOD.events[4], step=3), GOOD.events[5])),
            "a reported the steps [1, 2, 3, 3]",
        ),
        (replace(GOOD, attempts=GOOD.attempts[1:]), "a has 2 attempt(s): [2]"),
        (replace(GOOD, attempts=with_attempt(1, ended_at=3.5)), "began before the one before it"),
        (replace(GOOD, attempts=with_attempt(2, is_over=False)), "an attempt of it goes on"),
        (replace(GOOD, attempts=with_attempt(2, resumed_at=0)), "attempt 2 of a does 3 steps again"),
        (replace(GOOD, attempts=with_attempt(2, is_released=False)), "attempt 2 of a still holds devices"),
        (
            replace(GOOD, jobs=(GOOD.jobs[0], replace(GOOD.jobs[1], status="queued"))),
            "b never ended: it is queued",
        ),
        (
            replace(GOOD, jobs=(GOOD.jobs[0], JobRow("b", "failed", 0, 1, "platform_error"))),
            "b failed with platform_error",
        ),
        (replace(GOOD, objects=frozenset({"files/1"})), "ft:a has no weights in storage"),
        (replace(GOOD, objects=GOOD.objects - {"files/1"}), "files/1 is not in storage"),
        (replace(GOOD, objects=GOOD.objects | {"files/2"}), "files/2 belongs to nothing"),
        (
            replace(GOOD, objects=GOOD.objects | {"jobs/a/attempts/1/spec.json"}),
            "jobs/a/attempts/1/spec.json belongs to nothing",
        ),
    ],
)
def test_damage_is_found(bad: History, problem: str) -> None:
    assert problem in found(bad)
