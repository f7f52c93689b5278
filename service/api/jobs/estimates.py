"""Estimates a job that could be created: exact tokens and steps, and what they will take."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.contracts.bases import BaseSpec
from cluster.contracts.jobs import Priority
from service.api.inference.engine import Engine
from service.api.jobs.public_jobs import public_hyperparameters
from service.api.jobs.public_plans import public_plan, public_workers
from service.api.jobs.queue_forecast import QueueState, expected_wait, read_queue, waiting
from service.api.schemas.estimates import (
    EstimatedPrice,
    EstimatedQueue,
    EstimatedRow,
    EstimatedRows,
    EstimatedTime,
    EstimatedTokens,
    FineTuningJobEstimate,
    SecondsRange,
)
from service.api.schemas.jobs import CreateJobBody
from service.db.database import Database
from service.db.jobs.past_runs import PastRun, past_runs
from service.db.scheduler.dataset_checks import check_events
from service.job_checks import Candidate, CheckedJob, check_job
from service.run_times import RunTime, Seconds, Work, gangs_of, run_time, work_of
from service.scheduling.snapshots import rules_of
from service.settings import Settings

_NEVER_RUN = (
    "No job of this base, method, training type and number of workers has finished on this server yet."
)
_UNPLANNED = "The shape of this base, or the memory of the devices, is not known to this server."
_SECONDS_PER_HOUR = 3600
_NEW = ""
"""The id of a job that does not have one yet."""


def drawn_seed(body: CreateJobBody) -> int:
    """The seed of a request that does not set one. It is the same for the same request, so that a repeated
    request finds what the cluster has read for the first."""
    digest = hashlib.sha256(body.model_dump_json().encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


async def checked(candidate: Candidate, engine: Engine, *, project_id: str) -> CheckedJob:
    """Raises the error with which validation would fail the job, Unavailable if the cluster is still reading
    a file, and Overloaded if it is reading too many for the project."""
    check = check_job(candidate)
    try:
        request = next(check)
        while True:
            request = check.send(await engine.check_dataset(request, project_id=project_id))
    except StopIteration as end:
        result: CheckedJob = end.value
        return result


@dataclass(frozen=True, slots=True)
class Server:
    """What this server has measured, and what it is working on."""

    past: Sequence[PastRun]
    """Past runs of the job's base."""
    queue: QueueState


def read_server(
    database: Database, base: str, project_id: str, catalogue: Mapping[str, BaseSpec], settings: Settings
) -> Server:
    with database.read() as session:
        queue = read_queue(session, project_id, catalogue, rules_of(settings))
        return Server(past_runs(session, base), queue)


def estimate(
    candidate: Candidate,
    job: CheckedJob,
    server: Server,
    settings: Settings,
    *,
    project_id: str,
    priority: Priority,
) -> FineTuningJobEstimate:
    base, config = candidate.base, job.config
    found = job.checks[0].found
    validation = [each.found for each in job.checks if each.param == "validation_file"]
    work = work_of(candidate.method, job, config)
    time = run_time(work, server.past)
    unknown = {} if time is not None else {"time": _NEVER_RUN, "measured_memory_bytes": _NEVER_RUN}
    if config.footprint is None:
        unknown["plan.device_memory"] = _UNPLANNED
    gangs = gangs_of(candidate.method, job, server.past)
    new = waiting(_NEW, project_id, priority, gangs, at=server.queue.pending.at)
    wait = expected_wait(server.queue, new, settings.pools, rules_of(settings))
    if wait.problem is not None:
        unknown["queue.seconds"] = wait.problem
    return FineTuningJobEstimate(
        model=base.alias,
        seed=candidate.seed,
        hyperparameters=public_hyperparameters(job.hyperparameters, candidate.method),
        steps=work.steps,
        rows=EstimatedRows(
            trained=found.n_examples - found.n_held_out,
            held_out=found.n_held_out + sum(each.n_examples for each in validation),
            truncated=found.n_truncated,
            dropped=found.n_dropped,
        ),
        tokens=EstimatedTokens(
            per_epoch=found.n_tokens - found.n_held_out_tokens,
            trained=work.trained_tokens,
            learned_per_epoch=found.n_supervised_tokens - found.n_held_out_supervised_tokens,
            held_out=work.held_out_tokens,
            longest_rows=[EstimatedRow(line=row.line, tokens=row.tokens) for row in found.longest_rows],
        ),
        time=_time(time),
        plan=public_plan(config),
        workers=public_workers(config, is_held=False) if candidate.training.is_elastic else None,
        measured_memory_bytes=None if time is None else time.memory_bytes,
        queue=EstimatedQueue(jobs_ahead=wait.jobs_ahead, seconds=wait.seconds),
        price=_price(work, time, base, settings, unknown),
        unknown=unknown,
        warnings=[event.message for event in check_events(job.checks, config)],
    )


def _time(time: RunTime | None) -> EstimatedTime | None:
    if time is None:
        return None
    phases = {
        "total": time.total,
        "starting": time.starting,
        "training": time.training,
        "evaluation": time.evaluation,
        "publishing": time.publishing,
    }
    ranges = {name: SecondsRange(low=each.low, high=each.high) for name, each in phases.items()}
    return EstimatedTime(**ranges, device=time.device, based_on=time.based_on)


def _price(
    work: Work, time: RunTime | None, base: BaseSpec, settings: Settings, unknown: dict[str, str]
) -> EstimatedPrice | None:
    """The price of the trained tokens and the price of device time, if the operator has set them."""
    prices = settings.price_per_million_tokens
    by_tokens = prices.get(base.alias, prices.get("*"))
    by_hours = settings.price_per_device_hour
    if by_tokens is None and by_hours is None:
        unknown["price"] = "The operator of this server has set no price for this base."
        return None
    amount = work.trained_tokens / 1e6 * (by_tokens or 0.0)
    price = Seconds(amount, amount)
    if by_hours is not None:
        if time is None:
            unknown["price"] = _NEVER_RUN
            return None
        held = time.starting + time.training + time.evaluation
        an_hour = work.config.num_workers * by_hours / _SECONDS_PER_HOUR
        price += Seconds(held.low * an_hour, held.high * an_hour)
    return EstimatedPrice(
        low=round(price.low, 6), high=round(price.high, 6), currency=settings.price_currency
    )
