"""When imports were tried"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("model_imports", sa.Column("first_tried_at", sa.Float(), nullable=True))
    op.add_column("model_imports", sa.Column("last_tried_at", sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column("model_imports", "last_tried_at")
    op.drop_column("model_imports", "first_tried_at")
