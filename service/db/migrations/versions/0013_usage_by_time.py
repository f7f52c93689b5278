"""Usage by the minute and the hour"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_COUNTS = ("requests", "prompt_tokens", "completion_tokens")


def upgrade() -> None:
    rows = _taken()
    _create(
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_usage_project_start", "usage", ["project_id", "seconds", "start"])
    op.create_index("ix_usage_organization_start", "usage", ["organization_id", "seconds", "start"])
    # What only its day is known of counts in the day's first hour.
    _insert(
        rows,
        lambda row: {
            "operation": "completions",
            "start": int(datetime.fromisoformat(row.pop("day")).replace(tzinfo=UTC).timestamp()),
            "seconds": 3600,
        },
    )


def downgrade() -> None:
    totals: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in _taken():
        start, seconds, _ = row.pop("start"), row.pop("seconds"), row.pop("operation")
        if seconds == 3600:
            row["day"] = datetime.fromtimestamp(start, UTC).date().isoformat()
            total = totals.setdefault(
                tuple(row[name] for name in ("api_key_id", "model", "day", "writer")),
                row | dict.fromkeys(_COUNTS, 0),
            )
            for name in _COUNTS:
                total[name] += row[name]
    _create(sa.Column("day", sa.String(), nullable=False))
    op.create_index("ix_usage_project_day", "usage", ["project_id", "day"])
    _insert(list(totals.values()), lambda _: {})


def _taken() -> list[dict[str, Any]]:
    """All rows of the table, which is dropped: its primary key changes."""
    rows = op.get_bind().execute(sa.text("SELECT * FROM usage"))
    found = [dict(row._mapping) for row in rows]
    op.drop_table("usage")
    return found


def _create(*when: sa.Column[Any]) -> None:
    op.create_table(
        "usage",
        sa.Column("api_key_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        *when,
        sa.Column("writer", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint(
            "api_key_id", "model", *(column.name for column in when), "writer", name=op.f("pk_usage")
        ),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], name=op.f("fk_usage_api_key_id_api_keys")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_usage_organization_id_organizations")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_usage_project_id_projects")),
    )


def _insert(rows: list[dict[str, Any]], when: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    if not rows:
        return
    values = []
    for row in rows:
        found = when(row)
        values.append(row | found)
    op.bulk_insert(sa.table("usage", *map(sa.column, values[0])), values)
