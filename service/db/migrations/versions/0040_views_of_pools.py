"""The nodes of pools as the scheduler sees them"""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pool_views",
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("nodes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("pool", name=op.f("pk_pool_views")),
    )


def downgrade() -> None:
    op.drop_table("pool_views")
