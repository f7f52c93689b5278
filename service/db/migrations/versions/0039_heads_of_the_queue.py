"""An index of queued jobs by the shapes of their gangs, so that a tick reads the oldest of each"""

from alembic import op

from service.db.new_indexes import NewIndex, create_indexes

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

INDEXES = (
    NewIndex(
        "ix_jobs_queue_heads",
        "jobs",
        ["status", "project_id", "priority", "gang_shape", "queued_at", "id"],
    ),
)


def upgrade() -> None:
    create_indexes(op.get_bind(), INDEXES)
    op.drop_index("ix_jobs_queue", table_name="jobs")


def downgrade() -> None:
    op.create_index("ix_jobs_queue", "jobs", ["status", "project_id", "priority", "queued_at", "id"])
    op.drop_index("ix_jobs_queue_heads", table_name="jobs")
