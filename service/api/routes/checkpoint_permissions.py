"""`/v1/fine_tuning/checkpoints/{name}/permissions`: admin keys share a model with other projects."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from service.api.http.auth import OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.checkpoint_permissions import (
    CheckpointPermission,
    CheckpointPermissionList,
    CheckpointPermissionsBody,
    DeletedCheckpointPermission,
)
from service.api.state import UsesAppState
from service.db.models.checkpoint_permissions import CheckpointPermission as Permission
from service.db.models.checkpoint_permissions import CheckpointPermissions
from service.db.models.models import TunedModels
from service.db.organization.api_keys import Principal

router = APIRouter(
    prefix="/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions",
    tags=["Checkpoint permissions"],
    route_class=StrictJsonRoute,
)


@router.post("", operation_id="checkpoint_permissions_create", summary="Share a model with projects")
def create(
    caller: OrganizationAdmin,
    state: UsesAppState,
    fine_tuned_model_checkpoint: str,
    body: CheckpointPermissionsBody,
) -> CheckpointPermissionList:
    """Allows the projects to use the model or checkpoint and to continue from it."""
    with state.database.write() as session:
        permissions = _permissions(session, caller, fine_tuned_model_checkpoint)
        granted = permissions.grant(body.project_ids)
    return CheckpointPermissionList.of([_public(one) for one in granted], has_more=False)


@router.get("", operation_id="checkpoint_permissions_list", summary="List the projects that may use a model")
def list_permissions(
    caller: OrganizationAdmin,
    state: UsesAppState,
    fine_tuned_model_checkpoint: str,
    project_id: Annotated[str | Absent, OrDefault] = None,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 10,
    order: Annotated[Literal["ascending", "descending"], OrDefault] = "descending",
) -> CheckpointPermissionList:
    with state.database.read() as session:
        page = _permissions(session, caller, fine_tuned_model_checkpoint).page(
            project_id=project_id,
            after=after,
            limit=limit,
            order="asc" if order == "ascending" else "desc",
        )
    return CheckpointPermissionList.of([_public(one) for one in page.data], has_more=page.has_more)


@router.delete(
    "/{permission_id}", operation_id="checkpoint_permissions_delete", summary="Stop sharing a model"
)
def delete(
    caller: OrganizationAdmin, state: UsesAppState, fine_tuned_model_checkpoint: str, permission_id: str
) -> DeletedCheckpointPermission:
    """Deletes the permission, effective from the next request. Jobs that have already been created
    continue."""
    with state.database.write(frees_space=True) as session:
        _permissions(session, caller, fine_tuned_model_checkpoint).delete(permission_id)
    return DeletedCheckpointPermission(id=permission_id)


def _permissions(session: Session, caller: Principal, name: str) -> CheckpointPermissions:
    permissions = CheckpointPermissions(session, caller.tenant.organization_id, name)
    if permissions.has_model():
        # A model of any project: a project's alias must not take the place of another project's model.
        return permissions
    # Aliases belong to the project that the admin key acts in.
    model = TunedModels(session, caller.tenant).own_name(name)
    return CheckpointPermissions(session, caller.tenant.organization_id, model)


def _public(permission: Permission) -> CheckpointPermission:
    return CheckpointPermission(
        id=permission.id, project_id=permission.project_id, created_at=permission.created_at
    )
