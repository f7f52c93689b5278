"""Rows by what they refer to, so that files, jobs and projects are deleted without reading whole tables"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_ALL = (
    ("jobs", "training_file"),
    ("model_imports", "config_file"),
    ("model_imports", "weights_file"),
    ("uploads", "project_id"),
    ("outbox", "project_id"),
)
_FEW = (
    ("jobs", "validation_file"),
    ("jobs", "general_file"),
    ("uploads", "file_id"),
    ("idempotency_keys", "job_id"),
)
"""Most rows have none."""


def upgrade() -> None:
    for table, column in _ALL:
        op.create_index(f"ix_{table}_{column}", table, [column])
    for table, column in _FEW:
        some = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"ix_{table}_{column}", table, [column], sqlite_where=some, postgresql_where=some)


def downgrade() -> None:
    for table, column in _ALL + _FEW:
        op.drop_index(f"ix_{table}_{column}", table_name=table)
