"""Turns a create request into a new job. Checks everything that can be checked without reading files."""

import hashlib
from collections.abc import Callable, Mapping

import orjson

from cluster.bases.layers import layers_here
from cluster.contracts.adapter_layers import check_layers
from cluster.contracts.bases import BaseSpec
from cluster.contracts.datasets import formats_for
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.hyperparameters import Method, TrainingOptions, check_options
from cluster.contracts.model_shape import ModelShape
from cluster.planning.planner import task_of
from cluster.planning.refusals import plan_or_refuse
from cluster.tracing import traceparent
from service.api.jobs.from_checkpoint import SourceCheckpoint, inherit_options
from service.api.jobs.integrations import requested_integrations
from service.api.schemas.jobs import (
    CreateJobBody,
    CreateJobExtension,
    DpoMethodBody,
    HyperparametersBody,
    ReinforcementMethodBody,
)
from service.db.jobs.jobs import NewJob
from service.job_checks import check_workers
from service.settings import Settings


def new_job(
    body: CreateJobBody,
    source: SourceCheckpoint | None,
    catalogue: Mapping[str, BaseSpec],
    settings: Settings,
    find_shape: Callable[[str], ModelShape | None],
) -> NewJob:
    """`source` has the weights from which the job continues; `find_shape` returns the shape of a base, if
    known. Raises InvalidRequest, which names the parameter."""
    base = _base(body.model if source is None else source.base, catalogue)
    method = _method(body)
    integrations = requested_integrations(body, settings)
    training, extension = body.training or TrainingOptions(), body.tunery or CreateJobExtension()
    if source is not None:
        training = inherit_options(training, source)
    check_options(training, base, method)
    shape = find_shape(base.alias)
    if (layers := layers_here(base)) is not None:
        check_layers(training, layers, base.alias, shape)
    hyperparameters = _hyperparameters(body).to_hyperparameters()
    check_workers(training, hyperparameters, settings.most_workers)
    if shape is not None:
        task = task_of(shape, base, training, method)
        plan_or_refuse(task, training, settings.training_pools, slots=settings.most_workers)
    return NewJob(
        model=base.alias,
        training_file=body.training_file,
        validation_file=body.validation_file,
        formats=formats_for(base, method),
        start_from=None if source is None else source.manifest_key,
        suffix=body.suffix,
        seed=body.seed,
        method=method,
        hyperparameters=hyperparameters,
        training=training,
        metadata=body.metadata,
        integrations=integrations,
        priority=extension.priority,
        start_by=extension.start_by,
        traceparent=traceparent(),
    )


def request_sha256(body: CreateJobBody) -> str:
    """Hashes the request's content, independent of spacing and key order."""
    plain = body.model_dump(mode="json", exclude_unset=True)
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _base(alias: str, catalogue: Mapping[str, BaseSpec]) -> BaseSpec:
    base = catalogue.get(alias)
    if base is None:
        raise InvalidRequest(
            f"The model '{alias}' cannot be fine-tuned or does not exist. "
            "GET /v1/models lists the base models.",
            code="model_not_found",
            param="model",
        )
    return base


def _method(body: CreateJobBody) -> Method:
    if isinstance(body.method, ReinforcementMethodBody):
        raise InvalidRequest(
            f"The method '{body.method.type}' is not supported yet; supported: 'supervised', 'dpo'.",
            code="unsupported_method",
            param="method.type",
        )
    return "dpo" if isinstance(body.method, DpoMethodBody) else "supervised"


def _hyperparameters(body: CreateJobBody) -> HyperparametersBody:
    if body.hyperparameters is not None:
        return body.hyperparameters
    if body.method is None or isinstance(body.method, ReinforcementMethodBody):
        return HyperparametersBody()
    return body.method.hyperparameters()
