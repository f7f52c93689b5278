"""Imported models"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_imports",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("config_file", sa.String(), nullable=False),
        sa.Column("weights_file", sa.String(), nullable=False),
        sa.Column("output_model", sa.String(), nullable=False),
        sa.Column("training", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["config_file"], ["files.id"], name=op.f("fk_model_imports_config_file_files")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_model_imports_organization_id_organizations"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_model_imports_project_id_projects")
        ),
        sa.ForeignKeyConstraint(
            ["weights_file"], ["files.id"], name=op.f("fk_model_imports_weights_file_files")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_imports")),
    )
    op.create_index("ix_model_imports_project_created", "model_imports", ["project_id", "created_at", "id"])
    op.create_index("ix_model_imports_status", "model_imports", ["status"])
    with op.batch_alter_table("models") as models:
        models.alter_column("job_id", existing_type=sa.String(), nullable=True)
        models.add_column(sa.Column("import_id", sa.String(), nullable=True))
        models.create_foreign_key(
            op.f("fk_models_import_id_model_imports"), "model_imports", ["import_id"], ["id"]
        )
        models.create_unique_constraint(op.f("uq_models_import_id"), ["import_id"])


def downgrade() -> None:
    op.execute(
        "DELETE FROM checkpoint_permissions WHERE model_id IN (SELECT id FROM models WHERE job_id IS NULL)"
    )
    op.execute("DELETE FROM models WHERE job_id IS NULL")
    with op.batch_alter_table("models") as models:
        models.drop_constraint(op.f("uq_models_import_id"), type_="unique")
        models.drop_constraint(op.f("fk_models_import_id_model_imports"), type_="foreignkey")
        models.drop_column("import_id")
        models.alter_column("job_id", existing_type=sa.String(), nullable=False)
    op.drop_table("model_imports")
