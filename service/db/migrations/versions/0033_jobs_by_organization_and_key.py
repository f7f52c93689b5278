"""Jobs by organization and by key, whose limits count them"""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_COLUMNS = {"organization": "organization_id", "key": "api_key_id"}


def upgrade() -> None:
    for name, column in _COLUMNS.items():
        op.create_index(f"ix_jobs_{name}_created", "jobs", [column, "created_at"])


def downgrade() -> None:
    for name in _COLUMNS:
        op.drop_index(f"ix_jobs_{name}_created", table_name="jobs")
