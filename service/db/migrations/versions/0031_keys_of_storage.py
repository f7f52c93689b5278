"""Keys of storage, by project"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("encryption_key", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("projects", "encryption_key")
