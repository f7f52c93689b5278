"""Incoming files, which were called uploads"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _move("uploads", "incoming_files")


def downgrade() -> None:
    _move("incoming_files", "uploads")


def _move(old: str, new: str) -> None:
    # Not renamed, because the primary key would keep its old name.
    target = op.create_table(
        new,
        sa.Column("file_id", sa.String(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("file_id", name=op.f(f"pk_{new}")),
    )
    source = sa.table(old, sa.column("file_id"), sa.column("started_at"))
    op.execute(sa.insert(target).from_select(["file_id", "started_at"], sa.select(source)))
    op.drop_table(old)
