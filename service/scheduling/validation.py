"""From `validating_files` to `queued`: the files are compiled for the base, and every "auto" becomes a
number."""

from collections.abc import Mapping

from cluster.contracts.bases import BaseSpec
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.errors import InvalidConfiguration, InvalidDataset, InvalidRequest
from cluster.contracts.hyperparameters import resolve
from service.db.files import File
from service.db.jobs import Job
from service.db.work import Work
from service.scheduling.ports import Serving

MIN_EXAMPLES = 10
_SHOWN_PROBLEMS = 5


def validate(job: Job, work: Work, serving: Serving, bases: Mapping[str, BaseSpec], *, slots: int) -> None:
    """Moves the job on. Raises Unavailable or Overloaded if it must be tried later, and InvalidDataset,
    InvalidRequest or InvalidConfiguration if it can never run."""
    base = base_of(job, bases)
    if job.training.num_workers > slots:
        raise InvalidRequest(
            f"training.num_workers is {job.training.num_workers}, but this installation trains on {slots} "
            "process(es) at most.",
            param="training.num_workers",
        )
    training, validation = work.files(job)
    checks = [_checked(job, base, training, "training", serving)]
    if validation is not None:
        checks.append(_checked(job, base, validation, "validation", serving))
    _check_number(checks[0].n_examples, base)
    hyperparameters, config = resolve(
        job.hyperparameters, job.training, base, n_examples=checks[0].n_examples, seed=job.seed
    )
    work.validated(job, hyperparameters, config, checks)


def base_of(job: Job, bases: Mapping[str, BaseSpec]) -> BaseSpec:
    """Raises InvalidConfiguration if the catalogue no longer has it."""
    base = bases.get(job.model)
    if base is None:
        raise InvalidConfiguration(f"The base model '{job.model}' is no longer in the catalogue.")
    return base


def _checked(job: Job, base: BaseSpec, file: File, role: str, serving: Serving) -> DatasetCheck:
    if file.status == "error":
        raise _invalid(role, file.status_details or "its format is wrong.")
    request = DatasetCheckRequest(
        base=base, key=file.object_key, sha256=file.sha256, on_overlength=job.training.on_overlength
    )
    check = serving.check_dataset(request)
    if check.problems:
        shown = " ".join(problem.message.rstrip(".") + "." for problem in check.problems[:_SHOWN_PROBLEMS])
        more = len(check.problems) - _SHOWN_PROBLEMS
        raise _invalid(role, shown + (f" And {more} more." if more > 0 else ""))
    return check


def _check_number(n_examples: int, base: BaseSpec) -> None:
    problem = None
    if n_examples < MIN_EXAMPLES:
        problem = f"but must have at least {MIN_EXAMPLES} examples"
    elif n_examples > base.max_training_examples:
        problem = f"but may have at most {base.max_training_examples} examples"
    if problem is not None:
        message = f"Training file has {n_examples} example(s), {problem}"
        raise InvalidDataset(message, code="invalid_n_examples", param="training_file")


def _invalid(role: str, details: str) -> InvalidDataset:
    return InvalidDataset(
        f"The job failed due to an invalid {role} file. {details}",
        code=f"invalid_{role}_file",
        param=f"{role}_file",
    )
