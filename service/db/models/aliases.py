"""Aliases: names for models, such as `support@prod`, that can be moved to another model at once. Names that
tuned models have elsewhere, such as OpenAI's `ft:gpt-4o-mini-2024-07-18:acme::AbCd1234`, can be aliases too.

Every change of an alias is a row of its own that never changes: the newest row says what the alias names, and
all rows together are its history. A deleted alias keeps its history, and its version numbers continue if it
is created again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, exists, func, select
from sqlalchemy.orm import Session, aliased

from cluster.contracts.errors import Conflict, InvalidRequest, NotFound
from service.db import tables
from service.db.database import now
from service.db.organization.audit_log import record
from service.db.organization.projects import lock_project
from service.db.paging import Page
from service.db.tenancy import Tenant

MAX_ALIASES = 1000
"""Maximum number of aliases of one project: GET /v1/models lists them all."""


def is_alias(name: str) -> bool:
    """Whether a name can only be an alias: names of bases have no `@`, and names of tuned models have a `:`.
    Any other name is an alias if no model has it and a project created such an alias."""
    return "@" in name and ":" not in name


def may_name_tuned(name: str) -> bool:
    """Whether a name can be that of a tuned model, a checkpoint or an alias."""
    return is_alias(name) or name.startswith("ft:") or ".ft-" in name


@dataclass(frozen=True, slots=True)
class Alias:
    name: str
    model: str
    """The base, tuned model or checkpoint that the alias names."""
    version: int
    """Counts the changes from 1."""
    updated_at: int


@dataclass(frozen=True, slots=True)
class AliasChange:
    version: int
    previous_model: str | None
    """None if the change created the alias."""
    model: str | None
    """None if the change deleted the alias."""
    api_key_id: str
    """Id of the key that made the change."""
    created_at: int


class Aliases:
    """The aliases of one tenant."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def resolve(self, name: str) -> str:
        """Returns the model that an alias names; returns any other name unchanged. The caller must first
        check whether a model itself has the name. Raises NotFound (`model_not_found`)."""
        row = self._newest(name)
        if (row is None or row.model is None) and not is_alias(name):
            return name
        if row is None or row.model is None:
            raise NotFound(
                f"The model '{name}' does not exist or you do not have access to it.",
                code="model_not_found",
                param="model",
            )
        return row.model

    def get(self, name: str) -> Alias:
        """Raises NotFound (`alias_not_found`)."""
        row = self._newest(name)
        if row is None or row.model is None:
            raise _absent(name)
        return _alias_of(row)

    def list(self, *, model: str | None = None) -> Sequence[Alias]:
        """Aliases sorted by name; with `model`, only the aliases of that model."""
        statement = self._current().order_by(tables.ModelAliasChange.alias)
        if model is not None:
            statement = statement.where(tables.ModelAliasChange.model == model)
        return [_alias_of(row) for row in self._session.scalars(statement)]

    def point(self, name: str, model: str | None, *, api_key_id: str, version: int | None = None) -> int:
        """Lets the alias name `model`, or deletes it if that is None. Returns the new version. The caller has
        made sure that the model exists, and holds its lock. If the alias names that model already, its
        version does not change.

        Raises Conflict (`version_conflict`) unless `version` is None or the alias's current one, which is 0
        if there is no alias, NotFound if there is nothing to delete, and InvalidRequest (`too_many_aliases`)
        for a new alias beyond MAX_ALIASES."""
        # Only one change of a project's aliases at a time.
        lock_project(self._session, self._tenant)
        row = self._newest(name)
        current = 0 if row is None or row.model is None else row.version
        if version is not None and version != current:
            raise Conflict(
                f"The alias '{name}' has the version {current}, not {version}: it was changed meanwhile.",
                code="version_conflict",
                param="version",
            )
        if model is None and not current:
            raise _absent(name)
        if row is not None and row.model == model:
            # A repeated deployment changes nothing, so that a rollback still leads to the model before it.
            return row.version
        if not current:
            self._check_room()
        change = tables.ModelAliasChange(
            project_id=self._tenant.project_id,
            organization_id=self._tenant.organization_id,
            alias=name,
            version=1 if row is None else row.version + 1,
            model=model,
            api_key_id=api_key_id,
            created_at=int(now(self._session)),
        )
        self._session.add(change)
        self._session.flush()
        if model is None:
            record(self._session, self._tenant, "alias.deleted", name)
        else:
            changes = {"model": model, "version": change.version}
            record(self._session, self._tenant, "alias.updated", name, changes_requested=changes)
        return change.version

    def history(self, name: str, *, before: int | None = None, limit: int = 20) -> Page[AliasChange]:
        """Newest first; with `before`, only changes before that version. Raises NotFound if such an alias
        never existed."""
        if self._newest(name) is None:
            raise _absent(name)
        change, previous = tables.ModelAliasChange, aliased(tables.ModelAliasChange)
        statement = (
            select(change, previous.model)
            .outerjoin(
                previous,
                and_(
                    previous.project_id == change.project_id,
                    previous.alias == change.alias,
                    previous.version == change.version - 1,
                ),
            )
            .where(*self._owned(), change.alias == name)
            .order_by(change.version.desc())
            .limit(limit + 1)
        )
        if before is not None:
            statement = statement.where(change.version < before)
        found = [
            AliasChange(row.version, before_it, row.model, row.api_key_id, row.created_at)
            for row, before_it in self._session.execute(statement)
        ]
        return Page(found[:limit], len(found) > limit)

    def earlier_model(self, name: str, version: int | None) -> str:
        """The model that the alias named at `version`, or, without one, before its last change. Raises
        NotFound if there is no alias or no such version, and Conflict (`nothing_to_roll_back`) if it named
        nothing then."""
        at = self.get(name).version - 1 if version is None else version
        row = self._session.scalar(
            select(tables.ModelAliasChange).where(
                *self._owned(), tables.ModelAliasChange.alias == name, tables.ModelAliasChange.version == at
            )
        )
        if row is None and version is not None:
            raise NotFound(
                f"The alias '{name}' has no version {version}.", code="alias_not_found", param="to_version"
            )
        if row is None or row.model is None:
            missing = "has no earlier version" if row is None else f"named no model at version {at}"
            raise Conflict(
                f"The alias '{name}' {missing}.",
                code="nothing_to_roll_back",
                param="to_version",
            )
        return row.model

    def check_unnamed(self, model: str) -> None:
        """Raises Conflict (`model_has_alias`) if an alias names the model or one of its checkpoints."""
        named = tables.ModelAliasChange.model
        alias = self._session.scalar(
            self._current()
            .where((named == model) | named.startswith(f"{model}:ckpt-step-", autoescape=True))
            .limit(1)
        )
        if alias is not None:
            raise Conflict(
                f"The alias '{alias.alias}' names '{alias.model}'. Move or delete the alias first.",
                code="model_has_alias",
                param="model",
            )

    def _check_room(self) -> None:
        count = self._session.scalar(select(func.count()).select_from(self._current().subquery())) or 0
        if count >= MAX_ALIASES:
            raise InvalidRequest(
                f"This project has {count} aliases, and may not have more. Delete one first.",
                code="too_many_aliases",
                param="alias",
            )

    def _newest(self, name: str) -> tables.ModelAliasChange | None:
        return self._session.scalar(
            select(tables.ModelAliasChange)
            .where(*self._owned(), tables.ModelAliasChange.alias == name)
            .order_by(tables.ModelAliasChange.version.desc())
            .limit(1)
        )

    def _current(self) -> Select[tables.ModelAliasChange]:
        """The newest change of each alias that is not deleted."""
        change = tables.ModelAliasChange
        newest = (
            select(change.alias, func.max(change.version).label("version"))
            .where(*self._owned())
            .group_by(change.alias)
            .subquery()
        )
        return (
            select(change)
            .join(newest, and_(change.alias == newest.c.alias, change.version == newest.c.version))
            .where(*self._owned(), change.model.is_not(None))
        )

    def _owned(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return (
            tables.ModelAliasChange.organization_id == self._tenant.organization_id,
            tables.ModelAliasChange.project_id == self._tenant.project_id,
        )


def models_with_aliases(session: Session, models: Collection[str]) -> set[str]:
    """Returns those of the given models that an alias of any tenant names now."""
    change, later = tables.ModelAliasChange, aliased(tables.ModelAliasChange)
    is_replaced = exists().where(
        later.project_id == change.project_id, later.alias == change.alias, later.version > change.version
    )
    named = session.scalars(select(change.model).where(change.model.in_(models), ~is_replaced))
    return {model for model in named if model is not None}


def _absent(name: str) -> NotFound:
    return NotFound(f"There is no alias '{name}'.", code="alias_not_found", param="alias")


def _alias_of(row: tables.ModelAliasChange) -> Alias:
    assert row.model is not None, "the alias is not deleted"
    return Alias(row.alias, row.model, row.version, row.created_at)
