"""Exports of models"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_exports",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("manifest_key", sa.String(), nullable=False),
        sa.Column("manifest_sha256", sa.String(), nullable=False),
        sa.Column("form", sa.String(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("quantization", sa.String(), nullable=True),
        sa.Column("done_bytes", sa.BigInteger(), nullable=False),
        sa.Column("total_bytes", sa.BigInteger(), nullable=True),
        sa.Column("export_sha256", sa.String(), nullable=True),
        sa.Column("faults", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_model_exports_organization_id_organizations"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_model_exports_project_id_projects")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_exports")),
    )
    op.create_index("ix_model_exports_project_created", "model_exports", ["project_id", "created_at", "id"])
    op.create_index("ix_model_exports_status", "model_exports", ["status"])


def downgrade() -> None:
    op.drop_table("model_exports")
