"""Limits of pools"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pool_limits",
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("max_devices", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pool", name="pk_pool_limits"),
    )


def downgrade() -> None:
    op.drop_table("pool_limits")
