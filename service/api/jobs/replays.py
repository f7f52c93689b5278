"""Replays: jobs that repeat an earlier one, from which the request is completed."""

from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.orm import Session

from cluster.contracts.errors import InvalidRequest, NotFound
from service.api.http.validation import invalid_request
from service.api.schemas.jobs import CreateJobBody, ReinforcementMethodBody
from service.db.jobs.jobs import Job, Jobs
from service.db.tenancy import Tenant

_OWN_OPTIONS = {"source_job", "allow_changed_base"}
"""Options of the replay itself. A replay of a replay names its own source."""


def completed(body: CreateJobBody, session: Session, tenant: Tenant) -> CreateJobBody:
    """Returns the request with missing parts taken from `training.source_job`: the validation file, the seed,
    the method, the resolved hyperparameters and the training options. Without a source, returns the request
    unchanged.

    Raises InvalidRequest if the job does not exist (another tenant's job gets the same answer), if it was
    never resolved (`source_job_not_resolved`), or if the request's own values are incompatible with the
    rest."""
    name = body.training.source_job if body.training else None
    if name is None:
        return body
    try:
        source = Jobs(session, tenant).get(name)
    except NotFound as error:
        raise InvalidRequest(error.message, code=error.code, param="training.source_job") from error
    if source.config is None:
        raise InvalidRequest(
            f"Job {name} has no resolved configuration to repeat: its files have not been validated.",
            code="source_job_not_resolved",
            param="training.source_job",
        )
    merged = _merged(body, source)
    try:
        return CreateJobBody.model_validate(merged)
    except ValidationError as error:
        findings = [{**finding, "loc": ("body", *finding["loc"])} for finding in error.errors()]
        raise invalid_request(RequestValidationError(findings, body=merged)) from error


def _merged(body: CreateJobBody, source: Job) -> dict[str, Any]:
    given = body.model_dump(exclude_unset=True)
    options = given["training"]
    merged: dict[str, Any] = {"seed": source.seed}
    if source.validation_file is not None and "validation_split" not in options:
        merged["validation_file"] = source.validation_file
    former = source.training.model_dump(exclude=_OWN_OPTIONS, exclude_none=True)
    if "validation_file" in given:
        former.pop("validation_split")
    merged |= given
    merged["training"] = former | options
    if not isinstance(body.method, ReinforcementMethodBody):
        merged["method"] = _method(body, source)
        merged.pop("hyperparameters", None)
    return merged


def _method(body: CreateJobBody, source: Job) -> dict[str, Any]:
    assert not isinstance(body.method, ReinforcementMethodBody)
    requested = body.hyperparameters or (body.method and body.method.hyperparameters())
    given = requested.model_dump(exclude_unset=True) if requested else {}
    kind = body.method.type if body.method else source.method
    former = source.hyperparameters.model_dump(exclude_none=True) if kind == source.method else {}
    return {"type": kind, kind: {"hyperparameters": former | given}}
