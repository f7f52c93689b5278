"""Checks a job's files, and replaces every "auto" by a number: for jobs that are being created, and for
estimates.

A request to the cluster may depend on its earlier answers. The scheduler waits for these in a thread, while
the API awaits them. So a check is a generator: it yields requests to the dataset compiler, receives the
answers, and returns the result."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from cluster.contracts.bases import BaseSpec
from cluster.contracts.datasets import (
    MIN_TRAINING_EXAMPLES,
    DatasetCheck,
    DatasetCheckRequest,
    DatasetFormat,
    formats_for,
    too_few_examples,
)
from cluster.contracts.devices import Pool
from cluster.contracts.errors import InvalidDataset, InvalidRequest
from cluster.contracts.hyperparameters import (
    Hyperparameters,
    Method,
    OnOverlength,
    TrainingConfig,
    TrainingOptions,
    resolve,
)
from cluster.planning.memory import Lengths, Task
from cluster.planning.planner import dividing, find_plan, task_of
from cluster.planning.refusals import plans_or_refuse
from service.db.files.files import File
from service.db.jobs.files import GENERAL_FORMATS, JobFiles, format_problem
from service.db.jobs.jobs import Job
from service.db.scheduler.dataset_checks import CheckedFile

_SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job whose files have not been read yet."""

    base: BaseSpec
    method: Method
    hyperparameters: Hyperparameters
    training: TrainingOptions
    seed: int
    files: JobFiles
    pools: Sequence[Pool] = ()
    """Pools in which it may be trained, in the operator's order."""
    slots: int = 1
    """The most training processes of a job."""
    source: Job | None = None
    """The job of the same base that this one repeats."""
    encryption_key: str | None = None
    """Encryption key of the candidate's project, for what the check stores."""


@dataclass(frozen=True, slots=True)
class CheckedJob:
    """A job that can run."""

    hyperparameters: Hyperparameters
    config: TrainingConfig
    checks: list[CheckedFile]
    """The training file comes first."""


JobCheck = Generator[DatasetCheckRequest, DatasetCheck, CheckedJob]


def check_job(job: Candidate) -> JobCheck:
    """Raises InvalidDataset, InvalidRequest or InvalidConfiguration if the job can never run. Errors that are
    thrown into the generator for a request are passed on."""
    check_workers(job.training, job.hyperparameters, job.slots)
    checks = yield from _checked_files(job)
    n_examples = checks[0].found.n_examples
    _check_number(n_examples, job.base)
    found = checks[0].found
    plans = plans_or_refuse(_task(job, found), job.training, job.pools, slots=job.slots)
    n_tokens = found.n_tokens - found.n_held_out_tokens
    hyperparameters, config = resolve(
        job.hyperparameters,
        job.training,
        job.base,
        n_examples=n_examples - found.n_held_out,
        seed=job.seed,
        method=job.method,
        n_tokens=n_tokens,
        plan=plans[0],
    )
    # Every worker needs an example in each step.
    if job.training.is_elastic:
        plans = dividing(plans, config.batch_size)
        if not plans:
            raise _too_many_workers(job.training, config.batch_size)
    others = tuple(plan for plan in plans[1:] if plan.num_workers <= config.batch_size)
    config = config.placed(plans[0]).model_copy(update={"alternatives": others})
    if job.source is not None:
        config = _as_before(config, job, job.source, found)
        _check_slots(config.num_workers, str(config.num_workers), job.slots)
    return CheckedJob(hyperparameters, config, checks)


def check_workers(training: TrainingOptions, hyperparameters: Hyperparameters, slots: int) -> None:
    """Raises InvalidRequest if no job may have this many workers, or if an elastic job may have more workers
    than a step has examples."""
    _check_slots(training.fewest_workers, str(training.num_workers), slots)
    batch_size = hyperparameters.batch_size
    if training.is_elastic and batch_size != "auto" and training.fewest_workers > batch_size:
        raise _too_many_workers(training, batch_size)


def _check_slots(fewest: int, wanted: str, slots: int) -> None:
    if fewest > slots:
        raise InvalidRequest(
            f"training.num_workers is {wanted}, but this server runs at most {slots} at once.",
            param="training.num_workers",
        )


def _too_many_workers(training: TrainingOptions, batch_size: int) -> InvalidRequest:
    return InvalidRequest(
        f"training.num_workers is {training.num_workers}, but a step has only {batch_size} example(s) "
        "(batch_size), and every worker needs one.",
        param="training.num_workers",
    )


def _task(job: Candidate, found: DatasetCheck) -> Task | None:
    """The task to plan; None if the base's shape is not known."""
    if found.shape is None:
        return None
    example = max((row.tokens for row in found.longest_rows), default=found.longest)
    return task_of(
        found.shape, job.base, job.training, job.method, Lengths(example, min(found.longest, example))
    )


def _as_before(config: TrainingConfig, job: Candidate, source: Job, found: DatasetCheck) -> TrainingConfig:
    """Takes from the source's configuration everything that the request did not change: a value may have come
    from the catalogue, or from a default of this program, and either may have changed since. So the job runs
    in the source's pool, on as many devices, as long as the pool exists."""
    assert source.config is not None
    former = replace(job, training=source.training, method=source.method)
    _, unchanged = resolve(
        source.hyperparameters,
        source.training,
        job.base,
        n_examples=found.n_examples - found.n_held_out,
        seed=source.seed,
        method=source.method,
        n_tokens=found.n_tokens - found.n_held_out_tokens,
        plan=find_plan(_task(former, found), source.training, job.pools, slots=job.slots),
    )
    now, then, before = (
        each.model_copy(update={"alternatives": ()}).model_dump()
        for each in (config, unchanged, source.config)
    )
    repeated = TrainingConfig.model_validate(
        {name: before[name] if value == then[name] else value for name, value in now.items()}
    )
    used = repeated.footprint
    is_gone = used is not None and all(pool.name != used.pool.name for pool in job.pools)
    return repeated.placed(config.plans[0]) if is_gone else repeated


def _checked_files(job: Candidate) -> Generator[DatasetCheckRequest, DatasetCheck, list[CheckedFile]]:
    """Checks each file in the way in which training will compile it."""
    policy, files = job.training.on_overlength, job.files
    formats = formats_for(job.base, job.method)
    _check_format(files.training, "training_file", formats)
    found = yield from _found(_training_request(job), files.training, "training_file")
    checks = [CheckedFile("training_file", policy, found)]
    if (validation := files.validation) is not None:
        is_same_needed = job.base.architecture == "encoder" and files.training.format is not None
        allowed = (files.training.format,) if is_same_needed else formats
        _check_format(validation, "validation_file", allowed)
        request = _request(job, validation, policy, job.method, class_names=found.class_names)
        checks.append(CheckedFile("validation_file", policy, (yield from _found(request, validation))))
    if (general := files.general) is not None:
        _check_format(general, "training.general_file", GENERAL_FORMATS)
        # Both models are measured on the examples that fit; nothing is trained on them.
        request = _request(job, general, "drop", "supervised")
        found = yield from _found(request, general, "training.general_file")
        checks.append(CheckedFile("training.general_file", "drop", found))
    return checks


def _training_request(job: Candidate) -> DatasetCheckRequest:
    expected = None
    if job.source is not None and job.source.provenance is not None and not job.training.allow_changed_base:
        expected = job.source.provenance.base_sha256
    request = _request(job, job.files.training, job.training.on_overlength, job.method)
    return request.model_copy(
        update={
            "training": job.training,
            "validation_split": job.training.validation_split,
            # Without a split the seed changes nothing, and requests that differ in it share one check.
            "seed": job.seed if job.training.validation_split else 0,
            "base_sha256": expected,
        }
    )


def _request(
    job: Candidate, file: File, policy: OnOverlength, method: Method, class_names: Sequence[str] = ()
) -> DatasetCheckRequest:
    return DatasetCheckRequest(
        base=job.base,
        key=file.object_key,
        sha256=file.sha256,
        on_overlength=policy,
        max_length=job.training.max_seq_length,
        method=method,
        class_names=list(class_names),
        encryption_key=job.encryption_key,
    )


def _found(
    request: DatasetCheckRequest, file: File, param: str = "validation_file"
) -> Generator[DatasetCheckRequest, DatasetCheck, DatasetCheck]:
    """Raises InvalidDataset, with `param`, if the file cannot be used."""
    if file.status == "error":
        raise _invalid(param, file.status_details or "its format is wrong.")
    check = yield request
    if check.problems:
        shown = " ".join(problem.message.rstrip(".") + "." for problem in check.problems[:_SHOWN_PROBLEMS])
        more = len(check.problems) - _SHOWN_PROBLEMS
        raise _invalid(param, shown + (f" And {more} more." if more > 0 else ""))
    return check


def _check_format(file: File, param: str, allowed: Sequence[DatasetFormat | None]) -> None:
    if problem := format_problem(file.format, allowed):
        raise _invalid(param, f"It {problem}", code="wrong_format")


def _check_number(n_examples: int, base: BaseSpec) -> None:
    most = base.max_training_examples
    message = None
    if n_examples < MIN_TRAINING_EXAMPLES:
        message = too_few_examples("training_file", n_examples, MIN_TRAINING_EXAMPLES)
    elif n_examples > most:
        message = f"Training file has {n_examples} example(s), but may have at most {most} examples"
    if message is not None:
        raise InvalidDataset(message, code="invalid_n_examples", param="training_file")


def _invalid(param: str, details: str, *, code: str | None = None) -> InvalidDataset:
    name = param.rpartition(".")[2]
    return InvalidDataset(
        f"The job failed due to an invalid {name.replace('_', ' ')}. {details}",
        code=code or f"invalid_{name}",
        param=param,
    )
