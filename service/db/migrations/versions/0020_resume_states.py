"""Resume states apart from checkpoints"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "superseded_folders",
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("folder", name=op.f("pk_superseded_folders")),
    )
    with op.batch_alter_table("jobs") as batch:
        batch.add_column(sa.Column("resume_manifest_key", sa.String(), nullable=True))
        batch.add_column(sa.Column("resume_step", sa.BigInteger(), server_default="0", nullable=False))
