"""The stored limits of organizations, projects and API keys."""

from collections.abc import Mapping
from typing import cast

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.inserting import insert
from service.db.limits.names import RATES, UNLIMITED, Defaults, LimitName, RateName


class Limits:
    """The limits of organizations, projects and API keys, which are all called subjects here."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def of(self, subject_id: str, *, model: str = "") -> dict[LimitName, int]:
        """The limits that were set for the subject; with `model`, the alias of a base, those for this base
        only."""
        row = tables.Limit
        wanted = select(row.name, row.value).where(row.subject_id == subject_id, row.model == model)
        return {cast(LimitName, name): value for name, value in self._session.execute(wanted)}

    def rates(self, subject_id: str) -> dict[tuple[str, RateName], int]:
        """The subject's limits per minute, by the alias of the base; the empty alias stands for any base."""
        row = tables.Limit
        wanted = select(row.model, row.name, row.value).where(
            row.subject_id == subject_id, row.name.in_(RATES)
        )
        found = self._session.execute(wanted)
        return {(model, cast(RateName, name)): value for model, name, value in found}

    def change(self, subject_id: str, changes: Mapping[LimitName, int], *, model: str = "") -> None:
        """Sets these limits, and leaves the others as they are."""
        if not changes:
            return
        rows = [
            {"subject_id": subject_id, "model": model, "name": name, "value": value}
            for name, value in changes.items()
        ]
        # Two administrators may set the same limit at once.
        new = insert(self._session, tables.Limit).values(rows)
        key = [column.name for column in tables.Limit.__table__.primary_key]
        self._session.execute(
            new.on_conflict_do_update(index_elements=key, set_={"value": new.excluded.value})
        )

    def remove(self, subject_id: str, *, model: str = "") -> None:
        """Removes the limits that were set, so that the defaults apply again."""
        row = tables.Limit
        self._session.execute(delete(row).where(row.subject_id == subject_id, row.model == model))


def rate_of_project(
    rates: Mapping[tuple[str, RateName], int], base: str, name: RateName, defaults: Defaults
) -> int:
    """The limit that applies to a base: its own, the project's for any base, or the settings' default."""
    of_any = rates.get(("", name), defaults.get(name, UNLIMITED))
    return rates.get((base, name), of_any)
