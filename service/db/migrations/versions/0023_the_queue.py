"""Priorities, places in the queue, pools of attempts, and what projects have used of devices"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_JOBS = sa.table(
    "jobs",
    sa.column("id", sa.String()),
    sa.column("status", sa.String()),
    sa.column("config", sa.JSON(none_as_null=True)),
    sa.column("gangs", sa.JSON(none_as_null=True)),
)
_INDEXES = {
    "ix_jobs_queue": ["status", "project_id", "priority", "queued_at", "id"],
    "ix_jobs_queue_order": ["status", "priority", "queued_at", "id"],
}
_HAS_START_BY = sa.text("start_by IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("priority", sa.String(), server_default="normal", nullable=False))
    op.add_column("jobs", sa.Column("start_by", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("queued_at", sa.Float(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("gangs", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("jobs", sa.Column("is_displaced", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("jobs", sa.Column("displacements", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("resume_saved_at", sa.Float(), nullable=True))
    op.add_column("attempts", sa.Column("pool", sa.String(), nullable=True))
    op.add_column("attempts", sa.Column("num_workers", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("nodes", sa.JSON(none_as_null=True), nullable=True))
    op.execute("UPDATE jobs SET queued_at = created_at")
    _set_gangs(op.get_bind())
    for name, columns in _INDEXES.items():
        op.create_index(name, "jobs", columns)
    op.create_index(
        "ix_jobs_start_by",
        "jobs",
        ["status", "start_by"],
        sqlite_where=_HAS_START_BY,
        postgresql_where=_HAS_START_BY,
    )
    op.drop_index("ix_jobs_status", "jobs")
    op.create_table(
        "queue_places",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.Float(), nullable=True),
        sa.Column("ends_at", sa.Float(), nullable=True),
        sa.Column("told", sa.String(), nullable=False),
        sa.Column("told_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_queue_places_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_queue_places")),
    )
    op.create_table(
        "device_use",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("device_seconds", sa.Float(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_device_use_project_id_projects")
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_device_use")),
    )


def _set_gangs(connection: sa.Connection) -> None:
    """Sets the gangs of planned jobs that have not ended."""
    ended = ("succeeded", "failed", "cancelled")
    planned = sa.select(_JOBS.c.id, _JOBS.c.config).where(_JOBS.c.status.not_in(ended))
    for job_id, config in connection.execute(planned).all():
        if config is None:
            continue
        pool = ((config.get("footprint") or {}).get("pool") or {}).get("name")
        gang = {"pool": pool, "workers": config.get("num_workers", 1), "seconds": None}
        connection.execute(sa.update(_JOBS).where(_JOBS.c.id == job_id).values(gangs=[gang]))


def downgrade() -> None:
    op.drop_table("device_use")
    op.drop_table("queue_places")
    op.create_index("ix_jobs_status", "jobs", ["status"])
    for name in ("ix_jobs_start_by", *_INDEXES):
        op.drop_index(name, "jobs")
    for column in ("nodes", "num_workers", "pool"):
        op.drop_column("attempts", column)
    for column in (
        "resume_saved_at",
        "displacements",
        "is_displaced",
        "gangs",
        "queued_at",
        "start_by",
        "priority",
    ):
        op.drop_column("jobs", column)
