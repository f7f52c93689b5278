"""The operator's API key"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_api_keys = sa.table(
    "api_keys", sa.column("name"), sa.column("project_id"), sa.column("is_operators", sa.Boolean())
)


def upgrade() -> None:
    # Adds columns in place, which needs a default: a new table, SQLite's alternative, would break the rows
    # that refer to the keys.
    is_operators: sa.Column[bool] = sa.Column(
        "is_operators", sa.Boolean(), server_default=sa.false(), nullable=False
    )
    op.add_column("api_keys", is_operators)
    op.add_column("api_keys", sa.Column("replaced_at", sa.BigInteger(), nullable=True))
    # Up to this revision, only the operator's key had this name.
    op.execute(
        _api_keys.update()
        .where(_api_keys.c.name == "admin", _api_keys.c.project_id == "proj-default")
        .values(is_operators=sa.true())
    )


def downgrade() -> None:
    op.drop_column("api_keys", "replaced_at")
    op.drop_column("api_keys", "is_operators")
