"""What runs took, and what they came from"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("provenance", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("jobs", sa.Column("cost", sa.JSON(none_as_null=True), nullable=True))
    op.create_index("ix_jobs_model_finished", "jobs", ["model", "finished_at"])


def downgrade() -> None:
    op.drop_index("ix_jobs_model_finished", "jobs")
    op.drop_column("jobs", "cost")
    op.drop_column("jobs", "provenance")
