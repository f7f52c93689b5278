"""`/v1/organization/storage`: what each project has in storage."""

from itertools import groupby

from fastapi import APIRouter

from service.api.http.auth import OrganizationAdmin
from service.api.schemas.retention import ProjectStorage, ProjectStorageList, StoredKind
from service.api.state import UsesAppState
from service.db.retention.stored import measured_at, stored_of

router = APIRouter(prefix="/organization", tags=["Retention"])


@router.get("/storage", operation_id="organization_storage_list", summary="List what projects have stored")
def list_stored(caller: OrganizationAdmin, state: UsesAppState) -> ProjectStorageList:
    """Lists each project's storage in bytes, by kind of object, as counted by the last sweep. This includes
    objects that have been deleted since, and objects awaiting deletion. A Tunery extension."""
    with state.database.read() as session:
        stored, at = stored_of(session, caller.tenant.organization_id), measured_at(session)
    data = []
    for project_id, of_project in groupby(stored, key=lambda one: one.project_id):
        kinds = [
            StoredKind(kind=one.kind.replace(" ", "_"), objects=one.objects, bytes=one.bytes)
            for one in of_project
        ]
        objects, size = sum(one.objects for one in kinds), sum(one.bytes for one in kinds)
        data.append(ProjectStorage(id=project_id, objects=objects, bytes=size, kinds=kinds))
    return ProjectStorageList(data=data, bytes=sum(one.bytes for one in data), measured_at=at)
