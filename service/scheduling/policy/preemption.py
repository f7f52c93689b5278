"""Chooses the running jobs that make room for a job of a higher priority."""

from collections.abc import Callable, Sequence

from service.scheduling.policy.fair_order import RANKS
from service.scheduling.policy.placement import Places, PoolAllocation
from service.scheduling.policy.snapshot import RunningJob

_Cost = tuple[int, float]
"""The highest rank of the jobs that leave, and the device-seconds that are lost."""


def make_room(
    devices: PoolAllocation, workers: int, at: float, may_leave: Callable[[RunningJob], bool]
) -> tuple[Places, list[RunningJob]] | None:
    """Returns where a gang can run once jobs have left, and which of the jobs that may leave must do so:
    those of the lowest priority first, then those that lose the fewest device-seconds since they saved their
    state. The list is empty if enough jobs are leaving already. Returns None if even all of them are not
    enough."""
    on_node: dict[int, list[tuple[RunningJob, int]]] = {}
    for job, places in devices.standing():
        if may_leave(job):
            for index, held in places:
                on_node.setdefault(index, []).append((job, held))
    soon = devices.free_soon()
    per_node = devices.pool.devices_per_node
    found: Places = []
    leaving: dict[str, RunningJob] = {}
    whole, rest = divmod(workers, per_node)
    for wanted in [per_node] * whole + [rest] * bool(rest):
        taken = {index for index, _ in found}
        ways = [
            (_cost(jobs, at), index, jobs)
            for index in range(len(soon))
            if index not in taken
            and not devices.is_kept(index)
            and (jobs := fewest(on_node.get(index, ()), wanted - soon[index], at)) is not None
        ]
        if not ways:
            return None
        _, index, jobs = min(ways, key=lambda way: way[:2])
        found.append((index, wanted))
        leaving.update((job.job_id, job) for job in jobs)
    others = [(job, job.workers) for job in devices.running if may_leave(job) and job.job_id not in leaving]
    missing = devices.missing_room(workers) - sum(job.workers for job in leaving.values())
    more = fewest(others, missing, at)
    return None if more is None else (found, [*leaving.values(), *more])


def fewest(held: Sequence[tuple[RunningJob, int]], missing: int, at: float) -> list[RunningJob] | None:
    """Picks jobs that together hold at least `missing` devices, without any unneeded job: those of the lowest
    priority first, then those that lose the least. None if all of them together hold too few."""
    if sum(devices for _, devices in held) < missing:
        return None
    chosen: list[tuple[RunningJob, int]] = []
    for job, devices in sorted(held, key=lambda each: _cost([each[0]], at)):
        if missing <= 0:
            break
        chosen.append((job, devices))
        missing -= devices
    for each in reversed(chosen[:]):
        if missing + each[1] <= 0:
            chosen.remove(each)
            missing += each[1]
    return [job for job, _ in chosen]


def _cost(jobs: Sequence[RunningJob], at: float) -> _Cost:
    rank = max((RANKS[job.priority] for job in jobs), default=-1)
    return rank, sum(job.workers * (at - job.saved_at) for job in jobs)
