"""Shapes of gangs"""

import json
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_JOBS = sa.table(
    "jobs",
    sa.column("id", sa.String()),
    sa.column("status", sa.String()),
    sa.column("gangs", sa.JSON(none_as_null=True)),
    sa.column("gang_shape", sa.String()),
)
_ENDED = ("succeeded", "failed", "cancelled")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("gang_shape", sa.String(), server_default="", nullable=False))
    _set_shapes(op.get_bind())


def _set_shapes(connection: sa.Connection) -> None:
    """Sets those of planned jobs that have not ended."""
    jobs = _JOBS.c
    planned = sa.select(jobs.id, jobs.gangs).where(jobs.status.not_in(_ENDED))
    shapes = [
        {"job": job_id, "shape": _shape(gangs)}
        for job_id, gangs in connection.execute(planned)
        if isinstance(gangs, list) and gangs
    ]
    if shapes:
        change = sa.update(_JOBS).where(jobs.id == sa.bindparam("job"))
        connection.execute(change.values(gang_shape=sa.bindparam("shape")), shapes)


def _shape(gangs: list[dict[str, Any]]) -> str:
    """As `service.db.scheduler.queue_window.gang_shape` does."""
    fewest = {(gang["pool"] or "", [gang["workers"], *gang.get("smaller", ())][-1]) for gang in gangs}
    return sha256(json.dumps(sorted(fewest)).encode()).hexdigest()[:16]


def downgrade() -> None:
    op.drop_column("jobs", "gang_shape")
