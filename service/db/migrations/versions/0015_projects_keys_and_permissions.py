"""Projects that can be archived, service accounts, admin keys and checkpoint permissions"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_api_keys = sa.table(
    "api_keys", sa.column("is_operators", sa.Boolean()), sa.column("is_admin_key", sa.Boolean())
)


def upgrade() -> None:
    op.add_column("projects", sa.Column("archived_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "service_accounts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_service_accounts_organization_id_organizations"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_service_accounts_project_id_projects")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_accounts")),
    )
    op.create_index(
        "ix_service_accounts_project_created", "service_accounts", ["project_id", "created_at", "id"]
    )
    # Adds columns in place: a new table, SQLite's alternative, would break the rows that refer to the keys.
    service_account: sa.Column[str] = sa.Column(
        "service_account_id",
        sa.String(),
        sa.ForeignKey("service_accounts.id", name=op.f("fk_api_keys_service_account_id_service_accounts")),
        nullable=True,
    )
    op.add_column("api_keys", service_account, inline_references=True)
    is_admin_key: sa.Column[bool] = sa.Column(
        "is_admin_key", sa.Boolean(), server_default=sa.false(), nullable=False
    )
    op.add_column("api_keys", is_admin_key)
    op.add_column("api_keys", sa.Column("last_used_at", sa.BigInteger(), nullable=True))
    op.create_index("ix_api_keys_project_created", "api_keys", ["project_id", "created_at", "id"])
    op.execute(_api_keys.update().where(_api_keys.c.is_operators).values(is_admin_key=sa.true()))
    op.create_table(
        "checkpoint_permissions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=True),
        sa.Column("checkpoint_id", sa.String(), nullable=True),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"],
            ["checkpoints.id"],
            name=op.f("fk_checkpoint_permissions_checkpoint_id_checkpoints"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_checkpoint_permissions_model_id_models")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_checkpoint_permissions_project_id_projects")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoint_permissions")),
        sa.UniqueConstraint(
            "checkpoint_id", "project_id", name="uq_checkpoint_permissions_checkpoint_project"
        ),
        sa.UniqueConstraint("model_id", "project_id", name="uq_checkpoint_permissions_model_project"),
    )
    op.create_index("ix_checkpoint_permissions_project", "checkpoint_permissions", ["project_id"])
    _count_usage_by(["api_key_id", "model", "operation", "start", "seconds", "writer", "project_id"])


def downgrade() -> None:
    _count_usage_by(["api_key_id", "model", "operation", "start", "seconds", "writer"])
    op.drop_table("checkpoint_permissions")
    op.drop_index("ix_api_keys_project_created", "api_keys")
    for column in ("last_used_at", "is_admin_key", "service_account_id"):
        op.drop_column("api_keys", column)
    op.drop_table("service_accounts")
    op.drop_column("projects", "archived_at")


def _count_usage_by(columns: list[str]) -> None:
    """Nothing refers to this table, so that SQLite may make it anew."""
    with op.batch_alter_table("usage") as table:
        table.drop_constraint("pk_usage", type_="primary")
        table.create_primary_key("pk_usage", columns)
