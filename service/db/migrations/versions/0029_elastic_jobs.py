"""Elastic jobs"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("resize_to", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "resize_to")
