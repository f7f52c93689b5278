"""Methods, forms of weights, continued jobs and evaluation"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)
_jobs = sa.table("jobs", sa.column("id"), sa.column("training", _JSON))
_checkpoints = sa.table("checkpoints", sa.column("job_id"), sa.column("form"))
_attempts = sa.table(
    "attempts", sa.column("job_id"), sa.column("number", sa.BigInteger()), sa.column("result", _JSON)
)
_type_of_job = _jobs.c.training["type"].as_string()
"""`lora` or `full` up to this revision, which is also the form of the weights."""


def upgrade() -> None:
    # Adds columns in place: a new table, SQLite's alternative, would break the rows that refer to jobs.
    general_file = sa.Column(
        "general_file",
        sa.String(),
        sa.ForeignKey("files.id", name=op.f("fk_jobs_general_file_files")),
        nullable=True,
    )
    op.add_column("jobs", general_file, inline_references=True)
    op.add_column("jobs", sa.Column("start_from", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("report", _JSON, nullable=True))
    op.add_column("models", sa.Column("report", _JSON, nullable=True))
    op.alter_column("models", "type", new_column_name="form")
    op.add_column("checkpoints", sa.Column("form", sa.String(), nullable=True))
    form = sa.select(_type_of_job).where(_jobs.c.id == _checkpoints.c.job_id).scalar_subquery()
    op.execute(_checkpoints.update().values(form=form))
    with op.batch_alter_table("checkpoints") as checkpoints:
        checkpoints.alter_column("form", existing_type=sa.String(), nullable=False)
    _add_form_to_results()


def downgrade() -> None:
    op.drop_column("checkpoints", "form")
    op.alter_column("models", "form", new_column_name="type")
    op.drop_column("models", "report")
    op.drop_column("jobs", "report")
    op.drop_column("jobs", "start_from")
    op.drop_column("jobs", "general_file")


def _add_form_to_results() -> None:
    """Adds the form to the final states of finished runners, which did not name it."""
    connection = op.get_bind()
    joined = _attempts.join(_jobs, _jobs.c.id == _attempts.c.job_id)
    rows = connection.execute(
        sa.select(_attempts, _type_of_job.label("type"))
        .select_from(joined)
        .where(_attempts.c.result.is_not(None))
    ).all()
    for row in rows:
        if row.result["state"] == "finished":
            connection.execute(
                _attempts.update()
                .where(_attempts.c.job_id == row.job_id, _attempts.c.number == row.number)
                .values(result=row.result | {"form": row.type})
            )
