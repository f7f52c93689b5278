"""Uploads in progress, and when resume state was deleted"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("file_id", sa.String(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("file_id", name=op.f("pk_uploads")),
    )
    op.create_index("ix_files_sha256", "files", ["sha256"])
    op.add_column("jobs", sa.Column("resume_state_gone_at", sa.BigInteger(), nullable=True))
    # The checkpoints of a deleted model could no longer be resolved; from now on they are deleted with it.
    op.execute(
        "DELETE FROM checkpoints WHERE job_id IN (SELECT job_id FROM models WHERE deleted_at IS NOT NULL)"
    )


def downgrade() -> None:
    op.drop_column("jobs", "resume_state_gone_at")
    op.drop_index("ix_files_sha256", "files")
    op.drop_table("uploads")
