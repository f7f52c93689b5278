"""Indexes without which reading and deleting a few rows of large tables reads all of them"""

from alembic import op

from service.db.new_indexes import NewIndex, create_indexes

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

INDEXES = (
    NewIndex("ix_usage_minutes", "usage", ["start"], where="seconds = 60"),
    NewIndex("ix_models_manifest_key", "models", ["manifest_key"]),
    NewIndex("ix_checkpoints_manifest_key", "checkpoints", ["manifest_key"]),
    NewIndex("ix_attempts_ended", "attempts", ["ended_at"]),
    NewIndex("ix_jobs_organization_trained", "jobs", ["organization_id", "trained_at"]),
    NewIndex("ix_jobs_organization_finished", "jobs", ["organization_id", "finished_at"]),
    NewIndex("ix_jobs_cost", "jobs", ["finished_at"], where="cost IS NOT NULL"),
    NewIndex("ix_audit_log_project", "audit_log", ["organization_id", "project_id", "seq"]),
    NewIndex("ix_audit_log_actor", "audit_log", ["organization_id", "actor_id", "seq"]),
    NewIndex(
        "ix_audit_log_service_account",
        "audit_log",
        ["organization_id", "service_account_id", "seq"],
        where="service_account_id IS NOT NULL",
    ),
    NewIndex("ix_audit_log_type", "audit_log", ["organization_id", "type", "seq"]),
    NewIndex("ix_audit_log_effective", "audit_log", ["organization_id", "effective_at", "seq"]),
)


def upgrade() -> None:
    create_indexes(op.get_bind(), INDEXES)


def downgrade() -> None:
    for index in INDEXES:
        op.drop_index(index.name, table_name=index.table)
