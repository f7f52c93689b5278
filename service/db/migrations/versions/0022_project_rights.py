"""The models and methods that a project may use"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("rights", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("projects", "rights")
