"""How elastic jobs grow into idle devices, and shrink for jobs that wait.

Each change costs a restart. So a job changes at most once in the settling time, except for a job of a higher
priority, and only if its remaining time is worth the restart.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from service.scheduling.policy.fair_order import RANKS, expected_end
from service.scheduling.policy.placement import Places, PoolAllocation, fit
from service.scheduling.policy.snapshot import Resize, Rules, RunningJob

_WORTH = 2.0
"""In restarts: a job's remaining time must be longer than this many restarts, and so must the time saved by
growing."""


def is_changeable(job: RunningJob, at: float, rules: Rules, *, at_once: bool = False) -> bool:
    """Whether the job is elastic, has run for long enough (not required with `at_once`), and will not end
    soon anyway."""
    return (
        bool(job.sizes)
        and not job.is_leaving
        and (at_once or at - job.started_at >= rules.settle_seconds)
        and expected_end(job, at) - at > _WORTH * rules.restart_seconds
    )


def saved_seconds(seconds_left: float, before: int, workers: int, rules: Rules) -> float:
    """How much earlier a job ends if it continues with more workers."""
    return seconds_left * (1 - before / workers) - rules.restart_seconds


def is_worth_it(resize: Resize, rules: Rules) -> bool:
    saved = saved_seconds(resize.seconds_left, resize.before, resize.workers, rules)
    return saved > (_WORTH - 1) * rules.restart_seconds


def growth(
    devices: PoolAllocation, job: RunningJob, places: Places, at: float, rules: Rules, quota: int
) -> tuple[Resize, Places] | None:
    """The most workers with which the job could continue, at most `quota`, and where; None if growing is not
    worth it."""
    free = _with(devices.free, places)
    for workers in job.sizes:
        if workers <= job.workers:
            return None
        resize = Resize(job.job_id, job.pool, job.workers, workers, expected_end(job, at) - at)
        found = fit(free, workers, devices.pool.devices_per_node) if workers <= quota else None
        if found is not None:
            return (resize, found) if is_worth_it(resize, rules) else None
    return None


def shrink_for(
    devices: PoolAllocation, workers: int, at: float, may_shrink: Callable[[RunningJob], bool]
) -> tuple[Places, list[tuple[RunningJob, int]]] | None:
    """Returns where a gang can run once elastic jobs continue with fewer workers, and which jobs do, with how
    many: those of the lowest priority first, then those that lose the least. Each keeps as many workers as
    possible. The list is empty if enough elastic jobs are leaving already. Returns None if shrinking all of
    them is not enough."""
    per_node = devices.pool.devices_per_node
    missing = devices.missing_room(workers)
    soon = [0 if devices.is_kept(index) else free for index, free in enumerate(devices.free_soon())]
    found = fit(soon, workers, per_node)
    if found is not None and not missing:
        is_soon = any(job.is_leaving and job.sizes for job, _ in devices.standing())
        return (found, []) if is_soon else None
    candidates = [each for each in devices.standing() if may_shrink(each[0])]
    candidates.sort(key=lambda each: _cost(each[0], at))
    chosen: list[RunningJob] = []
    for job, places in candidates:
        chosen.append(job)
        soon = _with(soon, places)
        room = _beside(soon, chosen, workers, per_node, missing)
        if room is not None:
            return room
    return None


class Settling:
    """Tracks since when each job could have grown without interruption, so that it grows only into devices
    that stay idle."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, int]] = {}
        """The time, and the fewest workers to which the job could have grown since then, by job id."""

    def settled(self, growths: Sequence[Resize], at: float, rules: Rules) -> list[Resize]:
        """Picks from the possible `growths` those that happen now."""
        known = {}
        for each in growths:
            since, workers = self._known.get(each.job_id, (at, each.workers))
            known[each.job_id] = since, min(workers, each.workers)
        self._known = known
        found = [
            replace(each, workers=known[each.job_id][1])
            for each in growths
            if at - known[each.job_id][0] >= rules.settle_seconds
        ]
        return [each for each in found if is_worth_it(each, rules)]


def _with(free: Sequence[int], places: Places) -> list[int]:
    more = list(free)
    for index, held in places:
        more[index] += held
    return more


def _beside(
    free: Sequence[int], jobs: Sequence[RunningJob], workers: int, per_node: int, missing: int
) -> tuple[Places, list[tuple[RunningJob, int]]] | None:
    """All jobs but the last one shrink to their minimum: even that was not enough without the last one. They
    restart before the gang starts, so they are placed first. Together they give up the `missing` devices,
    wherever those are."""
    *others, last = jobs
    left = list(free)
    missing -= sum(job.workers - job.sizes[-1] for job in others)
    for job in others:
        if not _take(left, job.sizes[-1], per_node):
            return None
    for size in last.sizes:
        if size >= last.workers or last.workers - size < missing:
            continue
        now = list(left)
        found = fit(now, workers, per_node) if _take(now, size, per_node) else None
        if found is not None:
            return found, [*((job, job.sizes[-1]) for job in others), (last, size)]
    return None


def _take(free: list[int], workers: int, per_node: int) -> bool:
    places = fit(free, workers, per_node)
    for index, taken in places or []:
        free[index] -= taken
    return places is not None


def _cost(job: RunningJob, at: float) -> tuple[int, float, str]:
    return RANKS[job.priority], job.workers * (at - job.saved_at), job.job_id
