"""Jobs that continue from tuned weights: finds the source, and completes the options from it."""

from collections.abc import Container
from dataclasses import dataclass

from sqlalchemy.orm import Session

from cluster.contracts.errors import InvalidRequest, NotFound
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.peft_options import PREFIXES
from service.api.schemas.jobs import CreateJobBody
from service.db.jobs.jobs import Jobs
from service.db.models.aliases import may_name_tuned
from service.db.models.imports import Imports
from service.db.models.models import TunedModels
from service.db.tenancy import Tenant

_LOW_RANK = frozenset({"lora", "qlora"})
"""Types whose adapters have the same form, whatever the precision of the base."""
_SHAPE = ("r", "alpha", "target_modules", "use_rslora", "use_dora")
"""The options that determine what a LoRA adapter computes. Dropout matters only in training."""


@dataclass(frozen=True, slots=True)
class SourceCheckpoint:
    """The tuned weights that a job starts from."""

    name: str
    base: str
    """Alias of the base model."""
    manifest_key: str
    is_adapter: bool
    """Whether the job continues to train this adapter. On full weights, any new adapter can be trained."""
    training: TrainingOptions
    """The options of the job that made the weights, or those that fit an imported adapter."""


def find_source(
    body: CreateJobBody, session: Session, tenant: Tenant, bases: Container[str]
) -> SourceCheckpoint | None:
    """Resolves `training.from_checkpoint`, or a tuned model's name in `model`. Returns None if the job starts
    from one of the `bases`.

    The weights stay in storage until the transaction ends, and after that for the job that refers to them.
    Raises InvalidRequest: `model_not_found`, with the same answer for names that do not exist and names of
    other tenants, or `optimizer_state_gone`."""
    named = body.training.from_checkpoint if body.training else None
    tuned = body.model if body.model not in bases and may_name_tuned(body.model) else None
    if named is None and tuned is None:
        return None
    if None not in (named, tuned) and named != tuned:
        raise InvalidRequest(
            f"training.from_checkpoint is '{named}' and model is '{tuned}'; a job continues from one.",
            param="training.from_checkpoint",
        )
    name = named or tuned or ""
    param = "model" if named is None else "training.from_checkpoint"
    try:
        name = _resolved(name, param, TunedModels(session, tenant))
        found = TunedModels(session, tenant).resolve_and_lock(name)
    except NotFound as error:
        raise InvalidRequest(error.message, code=error.code, param=param) from error
    if tuned is None and found.base != body.model:
        raise InvalidRequest(
            f"'{name}' was tuned from '{found.base}', so that it cannot be continued with model "
            f"'{body.model}'.",
            param="training.from_checkpoint",
        )
    job = None if found.job_id is None else Jobs(session, found.owner).get(found.job_id)
    has_optimizer = job is not None and job.has_resume_state_of(found.adapter.manifest_key)
    if body.training is not None and body.training.restore_optimizer and not has_optimizer:
        raise InvalidRequest(
            f"The optimizer state of '{name}' is not kept: only that of a job's newest step is, until some "
            "time after the job ends, and imported models have none. Leave training.restore_optimizer out: "
            "the job then continues from the same weights with a new optimizer.",
            code="optimizer_state_gone",
            param="training.restore_optimizer",
        )
    training = Imports(session, found.owner).training(found.import_id or "") if job is None else job.training
    return SourceCheckpoint(
        name, found.base, found.adapter.manifest_key, found.adapter.form != "full", training
    )


def _resolved(name: str, param: str, models: TunedModels) -> str:
    """Returns the tuned model that an alias names; returns any other name unchanged."""
    model = models.own_name(name)
    if model != name and not model.startswith("ft:"):
        raise InvalidRequest(
            f"The alias '{name}' names the base model '{model}'. To tune that, give it as model.", param=param
        )
    return model


def inherit_options(requested: TrainingOptions, source: SourceCheckpoint) -> TrainingOptions:
    """Returns the requested options, completed with the source's name and, where the request leaves them out,
    with the options that determine the shape of the source's adapter.

    Raises InvalidRequest if the request asks for an adapter of another type or shape."""
    before = source.training
    inherited: dict[str, object] = {"from_checkpoint": source.name}
    if "type" not in requested.model_fields_set:
        inherited |= {"type": before.type, "peft_config": before.peft_config}
        requested = requested.model_copy(update=inherited)
    _check_type(requested, source)
    if {requested.type, before.type} <= _LOW_RANK:
        fields: tuple[str, ...] = _SHAPE
    elif requested.type == before.type == "peft":
        fields = ("peft_config",)
    else:
        fields = ()
    for field in fields:
        ours, theirs = getattr(requested, field), getattr(before, field)
        if field in requested.model_fields_set and ours != theirs:
            if not source.is_adapter:
                continue
            raise InvalidRequest(
                f"training.{field} is {ours!r}, but '{source.name}' was trained with {theirs!r}, and an "
                "adapter keeps its shape when it is continued; leave the field out.",
                param=f"training.{field}",
            )
        inherited[field] = theirs
    if fields == _SHAPE and "dropout" not in requested.model_fields_set:
        inherited["dropout"] = before.dropout
    return requested.model_copy(update=inherited)


def _check_type(requested: TrainingOptions, source: SourceCheckpoint) -> None:
    before = source.training
    if not source.is_adapter or requested.type == before.type or {requested.type, before.type} <= _LOW_RANK:
        return
    # Learned prefixes cannot be merged into weights.
    if requested.type == "full" and before.peft_type not in PREFIXES:
        return
    raise InvalidRequest(
        f"training.type is '{requested.type}', but '{source.name}' is an adapter of type '{before.type}' and "
        "continues as one; leave the field out.",
        param="training.type",
    )
