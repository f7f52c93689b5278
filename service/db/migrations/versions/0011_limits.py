"""Limits of projects and keys, and the key that created a job"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "limits",
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "model", "name", name=op.f("pk_limits")),
    )
    op.create_table(
        "rate_buckets",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("filled_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_buckets")),
    )
    # In place: a new table, SQLite's alternative, would break the rows that refer to jobs.
    api_key_id = sa.Column(
        "api_key_id",
        sa.String(),
        sa.ForeignKey("api_keys.id", name=op.f("fk_jobs_api_key_id_api_keys")),
        nullable=True,
    )
    op.add_column("jobs", api_key_id, inline_references=True)


def downgrade() -> None:
    op.drop_column("jobs", "api_key_id")
    op.drop_table("rate_buckets")
    op.drop_table("limits")
