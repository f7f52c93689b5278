"""Faults and waits of imports and exports"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("model_imports", sa.Column("faults", sa.BigInteger(), server_default="0", nullable=False))
    for table in ("model_imports", "model_exports"):
        op.add_column(table, sa.Column("waiting_since", sa.Float(), nullable=True))
        op.add_column(table, sa.Column("retry_at", sa.Float(), nullable=True))
    for column in ("last_tried_at", "first_tried_at"):
        op.drop_column("model_imports", column)


def downgrade() -> None:
    for column in ("first_tried_at", "last_tried_at"):
        op.add_column("model_imports", sa.Column(column, sa.Float(), nullable=True))
    for table in ("model_imports", "model_exports"):
        op.drop_column(table, "retry_at")
        op.drop_column(table, "waiting_since")
    op.drop_column("model_imports", "faults")
