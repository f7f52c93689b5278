"""Resume states apart from checkpoints, and when attempts got their devices and jobs were trained"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_JOBS = sa.table(
    "jobs",
    sa.column("id", sa.String()),
    sa.column("publishing", sa.JSON(none_as_null=True)),
    sa.column("trained_at", sa.BigInteger()),
)


def upgrade() -> None:
    op.create_table(
        "superseded_folders",
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("folder", name=op.f("pk_superseded_folders")),
    )
    op.add_column("jobs", sa.Column("resume_manifest_key", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("resume_step", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("trained_at", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("started_at", sa.Float(), nullable=True))
    # Until now, an attempt that waited for long was given up.
    op.execute("UPDATE attempts SET started_at = created_at")
    connection = op.get_bind()
    trained = sa.select(_JOBS.c.id, _JOBS.c.publishing).where(_JOBS.c.publishing.is_not(None))
    for job_id, publishing in connection.execute(trained).all():
        at = int(publishing["trained_at"])
        connection.execute(sa.update(_JOBS).where(_JOBS.c.id == job_id).values(trained_at=at))


def downgrade() -> None:
    op.drop_column("attempts", "started_at")
    op.drop_column("jobs", "trained_at")
    op.drop_column("jobs", "resume_step")
    op.drop_column("jobs", "resume_manifest_key")
    op.drop_table("superseded_folders")
