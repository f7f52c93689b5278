"""Trained is not published"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_JOBS = sa.table(
    "jobs",
    sa.column("id", sa.String()),
    sa.column("status", sa.String()),
    sa.column("attempt", sa.BigInteger()),
    sa.column("output_model", sa.String()),
    sa.column("publishing", sa.JSON(none_as_null=True)),
)
_ATTEMPTS = sa.table(
    "attempts",
    sa.column("job_id", sa.String()),
    sa.column("number", sa.BigInteger()),
    sa.column("result", sa.JSON(none_as_null=True)),
    sa.column("ended_at", sa.Float()),
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("publishing", sa.JSON(none_as_null=True), nullable=True))
    # What is being published goes on, and what was trained but refused can be published again.
    connection = op.get_bind()
    rows = connection.execute(
        sa.select(_JOBS.c.id, _JOBS.c.output_model, _ATTEMPTS.c.result, _ATTEMPTS.c.ended_at)
        .join(_ATTEMPTS, sa.and_(_ATTEMPTS.c.job_id == _JOBS.c.id, _ATTEMPTS.c.number == _JOBS.c.attempt))
        .where(_JOBS.c.status.in_(("publishing", "failed")), _ATTEMPTS.c.result.is_not(None))
    ).all()
    for job_id, model, result, ended_at in rows:
        step = re.search(r"/step-(\d+)/manifest\.json$", result.get("manifest_key", ""))
        if result.get("state") != "finished" or step is None:
            continue
        at = ended_at or 0.0
        publishing = {"weights": f"{model}:ckpt-step-{int(step[1])}", "trained_at": at, "since": at}
        connection.execute(sa.update(_JOBS).where(_JOBS.c.id == job_id).values(publishing=publishing))


def downgrade() -> None:
    op.drop_column("jobs", "publishing")
