"""`/v1/organization/projects/{project_id}/legal_holds`: what must not be deleted."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.http.auth import OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.retention import LegalHold, LegalHoldBody, LegalHoldList, ReleasedLegalHold
from service.api.state import UsesAppState
from service.db.organization.projects import Projects
from service.db.retention import holds
from service.db.retention.holds import LegalHolds
from service.db.tenancy import Tenant

router = APIRouter(
    prefix="/organization/projects/{project_id}/legal_holds", tags=["Retention"], route_class=StrictJsonRoute
)


@router.get("", operation_id="legal_holds_list", summary="List a project's legal holds")
def list_holds(
    caller: OrganizationAdmin,
    state: UsesAppState,
    project_id: str,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 20,
) -> LegalHoldList:
    """Lists legal holds, newest first. A Tunery extension."""
    with state.database.read() as session:
        tenant = Projects(session, caller.tenant.organization_id).tenant(project_id)
        page = LegalHolds(session, tenant).page(after=after, limit=limit)
    return LegalHoldList.of([_public(hold) for hold in page.data], has_more=page.has_more)


@router.post("", operation_id="legal_holds_create", summary="Place a legal hold")
def create(body: LegalHoldBody, caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> LegalHold:
    """Places a legal hold: from now on, neither users nor retention can delete what is on hold, and its files
    do not expire until the hold is released. A hold on a job includes its files, events, checkpoints and
    model."""
    with state.database.write() as session:
        project = Projects(session, caller.tenant.organization_id).lock(project_id)
        tenant = Tenant(caller.tenant.organization_id, project.id)
        held = LegalHolds(session, tenant).place(
            body.resource_id or project_id, body.reason, api_key_id=caller.key_id
        )
    return _public(held)


@router.delete("/{hold_id}", operation_id="legal_holds_release", summary="Release a legal hold")
def release(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, hold_id: str
) -> ReleasedLegalHold:
    """Releases the hold, so that what was on hold can be deleted again. The audit log keeps a record of the
    hold."""
    with state.database.write() as session:
        tenant = Projects(session, caller.tenant.organization_id).tenant(project_id)
        LegalHolds(session, tenant).release(hold_id)
    return ReleasedLegalHold(id=hold_id)


def _public(hold: holds.LegalHold) -> LegalHold:
    return LegalHold(
        id=hold.id,
        project_id=hold.project_id,
        resource_type=hold.type,
        resource_id=hold.resource_id,
        reason=hold.reason,
        api_key_id=hold.api_key_id,
        created_at=hold.created_at,
    )
