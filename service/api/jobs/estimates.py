"""An estimate of a job that could be created: exact tokens and steps, and what they will take."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.contracts.bases import BaseSpec
from service.api.inference.engine import Engine
from service.api.jobs.public_jobs import public_hyperparameters
from service.api.jobs.public_plans import public_plan
from service.api.jobs.queue_waits import queue_wait
from service.api.jobs.run_times import RunTime, Seconds, Work, run_time, typical_seconds
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
from service.db.database import Database, now
from service.db.jobs.jobs import Job
from service.db.jobs.past_runs import PastRun, jobs_ahead, past_runs
from service.db.scheduler.dataset_checks import check_events
from service.job_checks import Candidate, CheckedJob, check_job
from service.settings import Settings

_NEVER_RUN = (
    "No job of this base, method, training type and number of workers has finished on this server yet."
)
_UNPLANNED = "The shape of this base, or the memory of the devices, is not known to this server."
_SECONDS_PER_HOUR = 3600


def drawn_seed(body: CreateJobBody) -> int:
    """The seed of a request that gives none. It is the same for the same request, so that a repeated one
    finds what the cluster has read for the first."""
    digest = hashlib.sha256(body.model_dump_json().encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


async def checked(candidate: Candidate, engine: Engine, *, project_id: str) -> CheckedJob:
    """Raises what validation would fail the job with, Unavailable if the cluster is still reading a file, and
    Overloaded if it is reading too many for the project."""
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
    """What this server has measured, and what it is doing."""

    at: float
    past: Mapping[str, Sequence[PastRun]]
    """By base."""
    ahead: Sequence[Job]


def read_server(database: Database, base: str) -> Server:
    with database.read() as session:
        ahead = jobs_ahead(session)
        past = {each: past_runs(session, each) for each in {base, *(job.model for job in ahead)}}
        return Server(now(session), past, ahead)


def estimate(
    candidate: Candidate, job: CheckedJob, server: Server, settings: Settings
) -> FineTuningJobEstimate:
    base, config = candidate.base, job.config
    found = job.checks[0].found
    n_trained = found.n_examples - found.n_held_out
    per_epoch = found.n_tokens - found.n_held_out_tokens
    validation = [each.found for each in job.checks if each.param == "validation_file"]
    held_out_tokens = found.n_held_out_tokens + sum(each.n_tokens for each in validation)
    steps = config.n_epochs * -(-n_trained // config.batch_size)
    work = Work(candidate.method, config, steps, config.n_epochs * per_epoch, held_out_tokens)
    past = server.past[base.alias]
    time = run_time(work, past)
    unknown = {} if time is not None else {"time": _NEVER_RUN, "measured_memory_bytes": _NEVER_RUN}
    if config.footprint is None:
        unknown["plan.device_memory"] = _UNPLANNED
    return FineTuningJobEstimate(
        model=base.alias,
        seed=candidate.seed,
        hyperparameters=public_hyperparameters(job.hyperparameters, candidate.method),
        steps=steps,
        rows=EstimatedRows(
            trained=n_trained,
            held_out=found.n_held_out + sum(each.n_examples for each in validation),
            truncated=found.n_truncated,
            dropped=found.n_dropped,
        ),
        tokens=EstimatedTokens(
            per_epoch=per_epoch,
            trained=work.trained_tokens,
            learned_per_epoch=found.n_supervised_tokens - found.n_held_out_supervised_tokens,
            held_out=held_out_tokens,
            longest_rows=[EstimatedRow(line=row.line, tokens=row.tokens) for row in found.longest_rows],
        ),
        time=_time(time),
        plan=public_plan(config),
        measured_memory_bytes=None if time is None else time.memory_bytes,
        queue=_queue(config.num_workers, server, settings, unknown),
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


def _queue(wanted: int, server: Server, settings: Settings, unknown: dict[str, str]) -> EstimatedQueue:
    seconds = queue_wait(
        server.ahead,
        lambda job: typical_seconds(job.method, job.config, server.past[job.model]),
        slots=settings.training_slots,
        wanted=wanted,
        at=server.at,
    )
    if seconds is None:
        unknown["queue.seconds"] = "No job like one that is ahead has finished on this server yet."
    return EstimatedQueue(jobs_ahead=len(server.ahead), seconds=seconds)


def _price(
    work: Work, time: RunTime | None, base: BaseSpec, settings: Settings, unknown: dict[str, str]
) -> EstimatedPrice | None:
    """The price of the trained tokens and that of the devices' time, as far as the operator set them."""
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
