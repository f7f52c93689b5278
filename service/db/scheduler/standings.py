"""Each project's recent use of devices, and the devices that it may use."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.limits.names import UNLIMITED
from service.db.usage.decay import decayed, decayed_use

_NAMES = ("device_share", "soft_max_devices", "max_devices")


@dataclass(frozen=True, slots=True)
class ProjectStanding:
    device_seconds: float
    """Decayed device-seconds of its ended attempts."""
    share: int
    """Its weight relative to the other waiting projects."""
    soft_devices: int | None
    """The project holds more devices than this only while nobody else waits for them. None: no such limit."""
    max_devices: int | None
    """The project never holds more devices than this."""


def standings(
    session: Session, project_ids: Collection[str], *, at: float, half_life: float
) -> dict[str, ProjectStanding]:
    """Standings by project id, in two reads, however much the projects have run before."""
    use, limit = tables.DeviceUse, tables.Limit
    used = {
        row.project_id: row for row in session.scalars(select(use).where(use.project_id.in_(project_ids)))
    }
    found = session.scalars(
        select(limit).where(limit.subject_id.in_(project_ids), limit.model == "", limit.name.in_(_NAMES))
    )
    limits = {(row.subject_id, row.name): row.value for row in found}

    def devices(project_id: str, name: str) -> int | None:
        value = limits.get((project_id, name), UNLIMITED)
        return None if value == UNLIMITED else value

    return {
        id: ProjectStanding(
            decayed(used[id].device_seconds, since=used[id].at, at=at, half_life=half_life)
            if id in used
            else 0.0,
            limits.get((id, "device_share"), 1),
            devices(id, "soft_max_devices"),
            devices(id, "max_devices"),
        )
        for id in project_ids
    }


def add_device_use(
    session: Session, project_id: str, attempt: tables.Attempt, devices: int, *, at: float, half_life: float
) -> None:
    """Adds the use of an ended attempt. Only the leading scheduler calls it."""
    if attempt.started_at is None:
        return
    end = at if attempt.ended_at is None else attempt.ended_at
    used = decayed_use(devices, attempt.started_at, end, at=at, half_life=half_life)
    row = session.get(tables.DeviceUse, project_id)
    if row is None:
        session.add(tables.DeviceUse(project_id=project_id, device_seconds=used, at=at))
        return
    row.device_seconds = used + decayed(row.device_seconds, since=row.at, at=at, half_life=half_life)
    row.at = at
