"""Platform faults and waits of jobs since their last progress"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("faults", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("retry_at", sa.Float(), nullable=True))
    op.add_column("jobs", sa.Column("waiting_since", sa.Float(), nullable=True))
    op.add_column("jobs", sa.Column("waited_for", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    for column in ("waited_for", "waiting_since", "retry_at", "faults"):
        op.drop_column("jobs", column)
