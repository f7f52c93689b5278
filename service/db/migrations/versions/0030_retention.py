"""Retention, legal holds and stored bytes"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("organizations", sa.Column("retention", sa.JSON(), nullable=True))
    op.add_column("projects", sa.Column("retention", sa.JSON(), nullable=True))
    op.create_table(
        "legal_holds",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_legal_holds_organization_id_organizations"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_legal_holds_project_id_projects")
        ),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name=op.f("fk_legal_holds_api_key_id_api_keys")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_legal_holds")),
        sa.UniqueConstraint("project_id", "resource_id", name="uq_legal_holds_project_resource"),
    )
    op.create_index("ix_legal_holds_project_created", "legal_holds", ["project_id", "created_at", "id"])
    op.create_table(
        "stored_bytes",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("objects", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("measured_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "kind", name=op.f("pk_stored_bytes")),
    )


def downgrade() -> None:
    op.drop_table("stored_bytes")
    op.drop_index("ix_legal_holds_project_created", "legal_holds")
    op.drop_table("legal_holds")
    op.drop_column("projects", "retention")
    op.drop_column("organizations", "retention")
