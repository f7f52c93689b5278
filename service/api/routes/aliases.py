"""`/v1/aliases`: names such as `support@prod`, or `ft:…` of another provider, that move from model to model
at once."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from service.api.http.auth import Reader, Writer
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.aliases import (
    DeletedAlias,
    ModelAlias,
    ModelAliasChange,
    ModelAliasHistory,
    ModelAliasList,
    RollBackBody,
    SetAliasBody,
)
from service.api.schemas.base import Absent, WholeNumber
from service.api.state import AppState, UsesAppState
from service.db.models.aliases import Alias, Aliases
from service.db.models.models import TunedModel, TunedModels
from service.db.organization.api_keys import Principal
from service.db.organization.projects import lock_project

router = APIRouter(tags=["Aliases"], route_class=StrictJsonRoute)


@router.post("/models/{model:path}/aliases", operation_id="aliases_set", summary="Point an alias at a model")
def set_alias(caller: Writer, state: UsesAppState, model: str, body: SetAliasBody) -> ModelAlias:
    """Creates the alias, or points an existing one at this model. Every request that begins after the
    response uses the new model. If `model` is itself an alias, the new alias points at that alias's model."""
    with state.database.write() as session:
        models = TunedModels(session, caller.tenant)
        models.check_no_model(body.alias, state.catalogue)
        named = models.own_name(model)
        return _point(session, state, caller, body.alias, named, body.version)


@router.get("/models/{model:path}/aliases", operation_id="aliases_of_model", summary="List a model's aliases")
def list_of_model(caller: Reader, state: UsesAppState, model: str) -> ModelAliasList:
    with state.database.read() as session:
        named = TunedModels(session, caller.tenant).named(model, state.catalogue)
        name = named.name if isinstance(named, TunedModel) else named
        found = Aliases(session, caller.tenant).list(model=name)
        return ModelAliasList(data=_public(found, session, caller, state))


@router.get("/aliases", operation_id="aliases_list", summary="List aliases")
def list_aliases(caller: Reader, state: UsesAppState) -> ModelAliasList:
    with state.database.read() as session:
        found = Aliases(session, caller.tenant).list()
        return ModelAliasList(data=_public(found, session, caller, state))


@router.get("/aliases/{alias}", operation_id="aliases_retrieve", summary="Retrieve an alias")
def retrieve(caller: Reader, state: UsesAppState, alias: str) -> ModelAlias:
    with state.database.read() as session:
        return _public([Aliases(session, caller.tenant).get(alias)], session, caller, state)[0]


@router.get("/aliases/{alias}/history", operation_id="aliases_history", summary="List an alias's changes")
def history(
    caller: Reader,
    state: UsesAppState,
    alias: str,
    before: Annotated[
        int | Absent, Query(ge=0, description="Only changes before this version."), WholeNumber
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 20,
) -> ModelAliasHistory:
    """Lists the alias's changes, newest first. The history of a deleted alias is kept."""
    with state.database.read() as session:
        found = Aliases(session, caller.tenant).history(alias, before=before, limit=limit)
    data = [
        ModelAliasChange(
            version=change.version,
            previous_model=change.previous_model,
            model=change.model,
            api_key_id=change.api_key_id,
            created_at=change.created_at,
        )
        for change in found.data
    ]
    return ModelAliasHistory(data=data, has_more=found.has_more)


@router.post("/aliases/{alias}/rollback", operation_id="aliases_roll_back", summary="Roll an alias back")
def roll_back(
    caller: Writer, state: UsesAppState, alias: str, body: RollBackBody | None = None
) -> ModelAlias:
    """Points the alias at an earlier model again. A rollback is itself a change, so rolling back twice
    restores the original state."""
    body = body or RollBackBody()
    with state.database.write() as session:
        aliases = Aliases(session, caller.tenant)
        seen = aliases.get(alias).version
        model = aliases.earlier_model(alias, body.to_version)
        return _point(session, state, caller, alias, model, seen if body.version is None else body.version)


@router.delete("/aliases/{alias}", operation_id="aliases_delete", summary="Delete an alias")
def delete(
    caller: Writer,
    state: UsesAppState,
    alias: str,
    version: Annotated[
        int | Absent,
        Query(ge=0, description="The version that the alias is expected to have now."),
        WholeNumber,
    ] = None,
) -> DeletedAlias:
    """Deletes the alias. The model that it points at is kept."""
    with state.database.write() as session:
        Aliases(session, caller.tenant).point(alias, None, api_key_id=caller.key_id, version=version)
    return DeletedAlias(id=alias)


def _point(
    session: Session, state: AppState, caller: Principal, alias: str, model: str, version: int | None
) -> ModelAlias:
    """Raises NotFound (`model_not_found`) if the model does not exist, and what `Aliases.point` raises."""
    aliases = Aliases(session, caller.tenant)
    if model not in state.catalogue:
        # The model is locked, so that it cannot be deleted before the alias names it; after the project, as
        # everywhere.
        lock_project(session, caller.tenant)
        TunedModels(session, caller.tenant).resolve_and_lock(model)
    aliases.point(alias, model, api_key_id=caller.key_id, version=version)
    return _public([aliases.get(alias)], session, caller, state)[0]


def _public(
    aliases: Sequence[Alias], session: Session, caller: Principal, state: AppState
) -> list[ModelAlias]:
    tuned = TunedModels(session, caller.tenant).resolve_all(alias.model for alias in aliases)
    return [
        ModelAlias(
            id=alias.name,
            model=alias.model,
            is_available=alias.model in state.catalogue or alias.model in tuned,
            version=alias.version,
            updated_at=alias.updated_at,
        )
        for alias in aliases
    ]
