"""Holders of identity providers' tokens"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("issuer", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("api_keys", "issuer")
