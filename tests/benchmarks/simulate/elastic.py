"""The jobs of a workload as elastic ones, and with the fewest workers that those may have."""

from dataclasses import replace

from tests.benchmarks.simulate.workloads import Job

_PARTS = (2, 4)
"""An elastic job may run with so many times fewer workers than it is sent with."""


def as_elastic(job: Job) -> Job:
    return replace(job, smaller=tuple(job.workers // part for part in _PARTS if job.workers >= part))


def at_fewest(job: Job) -> Job:
    """It takes longer, and as many device-seconds."""
    workers = (job.workers, *as_elastic(job).smaller)[-1]
    times = job.workers / workers
    return replace(
        job, workers=workers, seconds=job.seconds * times, estimate=job.estimate * times, eta=job.eta * times
    )
