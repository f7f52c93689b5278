"""From `validating_files` to `queued`: compiles the files for the base model, and replaces every "auto" by a
number."""

from collections.abc import Mapping, Sequence

from cluster.contracts.bases import BaseSpec
from cluster.contracts.datasets import (
    MIN_TRAINING_EXAMPLES,
    DatasetCheck,
    DatasetCheckRequest,
    DatasetFormat,
    formats_for,
    too_few_examples,
)
from cluster.contracts.errors import InvalidConfiguration, InvalidDataset, InvalidRequest
from cluster.contracts.hyperparameters import Method, OnOverlength, held_out_count, resolve
from service.db.dataset_checks import CheckedFile
from service.db.files import File
from service.db.job_files import GENERAL_FORMATS, JobFiles, format_problem
from service.db.jobs import Job
from service.db.scheduler_store import SchedulerStore
from service.scheduling.interfaces import ServingClient

_SHOWN_PROBLEMS = 5


def validate(
    job: Job, jobs: SchedulerStore, serving: ServingClient, bases: Mapping[str, BaseSpec], *, slots: int
) -> None:
    """Moves the job to the queue. Raises Unavailable or Overloaded if the call should be retried later, and
    InvalidDataset, InvalidRequest or InvalidConfiguration if the job can never run."""
    base = base_of(job, bases)
    if job.training.num_workers > slots:
        raise InvalidRequest(
            f"training.num_workers is {job.training.num_workers}, but this installation trains on {slots} "
            "process(es) at most.",
            param="training.num_workers",
        )
    checks = _checked_files(job, base, jobs.files(job), serving)
    n_examples = checks[0].found.n_examples
    _check_number(n_examples, base)
    hyperparameters, config = resolve(
        job.hyperparameters,
        job.training,
        base,
        n_examples=n_examples - held_out_count(n_examples, job.training.validation_split),
        seed=job.seed,
        method=job.method,
    )
    jobs.mark_validated(job, hyperparameters, config, checks)


def base_of(job: Job, bases: Mapping[str, BaseSpec]) -> BaseSpec:
    """The job's base model. Raises InvalidConfiguration if it is no longer in the catalogue."""
    base = bases.get(job.model)
    if base is None:
        raise InvalidConfiguration(f"The base model '{job.model}' is no longer in the catalogue.")
    return base


def _checked_files(job: Job, base: BaseSpec, files: JobFiles, serving: ServingClient) -> list[CheckedFile]:
    """The training file comes first. Each file is checked the way training will compile it."""

    def checked(
        file: File, param: str, policy: OnOverlength, method: Method, class_names: list[str]
    ) -> CheckedFile:
        request = DatasetCheckRequest(
            base=base,
            key=file.object_key,
            sha256=file.sha256,
            on_overlength=policy,
            method=method,
            training=job.training if param == "training_file" else None,
            class_names=class_names,
        )
        return CheckedFile(param, policy, _found(file, param, request, serving))

    formats = formats_for(base, job.method)
    training = files.training
    _check_format(training, "training_file", formats)
    policy = job.training.on_overlength
    checks = [checked(training, "training_file", policy, job.method, [])]
    if (validation := files.validation) is not None:
        is_same_needed = base.architecture == "encoder" and training.format is not None
        _check_format(validation, "validation_file", (training.format,) if is_same_needed else formats)
        class_names = checks[0].found.class_names
        checks.append(checked(validation, "validation_file", policy, job.method, class_names))
    if (general := files.general) is not None:
        _check_format(general, "training.general_file", GENERAL_FORMATS)
        # Both models are measured on the examples that fit; nothing is trained on them.
        checks.append(checked(general, "training.general_file", "drop", "supervised", []))
    return checks


def _check_format(file: File, param: str, allowed: Sequence[DatasetFormat | None]) -> None:
    if problem := format_problem(file.format, allowed):
        raise _invalid(param, f"It {problem}", code="wrong_format")


def _found(file: File, param: str, request: DatasetCheckRequest, serving: ServingClient) -> DatasetCheck:
    """Raises InvalidDataset, with `param`, if the file cannot be used."""
    if file.status == "error":
        raise _invalid(param, file.status_details or "its format is wrong.")
    check = serving.check_dataset(request)
    if check.problems:
        shown = " ".join(problem.message.rstrip(".") + "." for problem in check.problems[:_SHOWN_PROBLEMS])
        more = len(check.problems) - _SHOWN_PROBLEMS
        raise _invalid(param, shown + (f" And {more} more." if more > 0 else ""))
    return check


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
