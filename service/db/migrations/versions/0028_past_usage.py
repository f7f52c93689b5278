"""Past usage"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "past_usage",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("device_seconds", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_past_usage_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("project_id", "operation", "base", "start", name=op.f("pk_past_usage")),
    )
    op.create_index("ix_past_usage_organization_start", "past_usage", ["organization_id", "start"])


def downgrade() -> None:
    op.drop_table("past_usage")
