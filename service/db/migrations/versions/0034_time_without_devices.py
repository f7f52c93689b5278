"""How long jobs have had devices"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("held_seconds", sa.Float(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("jobs", "held_seconds")
