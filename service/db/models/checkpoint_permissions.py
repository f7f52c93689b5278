"""Other projects' permissions to use a tuned model or a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict, InvalidRequest, NotFound
from service.db import tables
from service.db.database import now
from service.db.ids import new_id
from service.db.models.models import model_not_found
from service.db.organization.audit_log import record
from service.db.organization.projects import Projects
from service.db.paging import Order, Page, page
from service.db.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class CheckpointPermission:
    id: str
    """`cp_…`"""
    project_id: str
    """The project that is allowed to use the model."""
    created_at: int


class CheckpointPermissions:
    """Permissions to use one model, `ft:…`, or one checkpoint, `ft:…:ckpt-step-N`, of an organization."""

    def __init__(self, session: Session, organization_id: str, name: str) -> None:
        """`name` is a model's own name, never an alias. Every method except `has_model` raises NotFound
        (`model_not_found`) if there is no such model."""
        self._session = session
        self._organization_id = organization_id
        self._name = name

    def has_model(self) -> bool:
        """Whether a model or checkpoint of the organization, in whichever project, has the name itself."""
        try:
            self._target()
        except NotFound:
            return False
        return True

    def grant(self, project_ids: Sequence[str]) -> list[CheckpointPermission]:
        """Returns one permission for each project. An existing permission is left as it is. Raises
        InvalidRequest if a project does not exist or is archived."""
        self._target()
        projects = Projects(self._session, self._organization_id)
        # Locked before the model, and in the same order everywhere, so that transactions cannot deadlock.
        for project_id in sorted(set(project_ids)):
            try:
                projects.active_tenant(project_id)
            except (NotFound, Conflict) as error:
                raise InvalidRequest(error.message, code=error.code, param="project_ids") from error
        target = self._target(for_share=True)
        return [self._granted(target, project_id) for project_id in sorted(set(project_ids))]

    def page(
        self, *, project_id: str | None, after: str | None, limit: int, order: Order
    ) -> Page[CheckpointPermission]:
        """Raises InvalidRequest if there is no permission `after`."""
        every = select(tables.CheckpointPermission).filter_by(**self._target())
        statement = every
        if project_id is not None:
            statement = statement.where(tables.CheckpointPermission.project_id == project_id)
        found = page(
            self._session,
            statement,
            key=(tables.CheckpointPermission.created_at, tables.CheckpointPermission.id),
            after=after,
            cursors=every,
            limit=limit,
            order=order,
        )
        return Page([_permission_of(row) for row in found.data], found.has_more)

    def delete(self, id: str) -> None:
        """Raises NotFound."""
        found = select(tables.CheckpointPermission).filter_by(id=id, **self._target())
        row = self._session.scalar(found)
        if row is None:
            raise NotFound(f"No such permission of '{self._name}': {id}")
        self._session.delete(row)
        tenant = Tenant(self._organization_id, row.project_id)
        record(self._session, tenant, "checkpoint.permission.deleted", id)

    def _granted(self, target: dict[str, Any], project_id: str) -> CheckpointPermission:
        found = select(tables.CheckpointPermission).filter_by(project_id=project_id, **target)
        row = self._session.scalar(found)
        if row is None:
            at = int(now(self._session))
            row = tables.CheckpointPermission(
                id=new_id("cp_"), project_id=project_id, created_at=at, **target
            )
            self._session.add(row)
            self._session.flush()
            tenant = Tenant(self._organization_id, project_id)
            data = {"project_id": project_id, "fine_tuned_model_checkpoint": self._name}
            record(self._session, tenant, "checkpoint.permission.created", row.id, data=data)
        return _permission_of(row)

    def _target(self, *, for_share: bool = False) -> dict[str, Any]:
        """The column that names the model or the checkpoint, with its id. With `for_share`, keeps the target
        from being deleted until the transaction ends."""
        model = select(tables.Model.id).where(
            tables.Model.id == self._name,
            tables.Model.organization_id == self._organization_id,
            tables.Model.deleted_at.is_(None),
        )
        checkpoint = (
            select(tables.Checkpoint.id)
            .join(tables.Job, tables.Job.id == tables.Checkpoint.job_id)
            .where(
                tables.Checkpoint.model_name == self._name,
                tables.Job.organization_id == self._organization_id,
            )
        )
        for column, statement in (("model_id", model), ("checkpoint_id", checkpoint)):
            id = self._session.scalar(statement.with_for_update(read=True) if for_share else statement)
            if id is not None:
                return {column: id}
        raise model_not_found(self._name)


def _permission_of(row: tables.CheckpointPermission) -> CheckpointPermission:
    return CheckpointPermission(row.id, row.project_id, row.created_at)
