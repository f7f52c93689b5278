"""Since when jobs wait that have run"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("requeued_at", sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "requeued_at")
