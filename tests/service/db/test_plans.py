"""Queries whose tables grow for good are answered from indexes. On PostgreSQL, whose plans tell."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event, func, text
from sqlalchemy.orm import Session

from service.db.database import Database
from service.db.installation import read_installation
from service.db.jobs.past_runs import past_runs
from service.db.limits.quota_use import device_seconds_this_month, jobs_of_organization, stored_bytes
from service.db.models.models import TunedModels
from service.db.organization.audit_log import AuditFilter, AuditLog
from service.db.retention.due import due_checkpoints, due_files
from service.db.retention.holds import held_of
from service.db.tenancy import Tenant
from service.db.usage.organization_usage import OrganizationUsage, UsageFilter
from service.db.usage.usage import DAY, HOUR, forget_minutes
from tests.databases import migrated_database

pytestmark = pytest.mark.slow
TENANT = Tenant("org-1", "proj-1")
ROWS = """
INSERT INTO organizations (id, name, created_at)
SELECT 'org-' || n, 'o', 0 FROM generate_series(0, 1) n;
INSERT INTO projects (id, organization_id, name, created_at)
SELECT 'proj-' || n, 'org-' || n % 2, 'p', 0 FROM generate_series(0, 39) n;
INSERT INTO api_keys (id, organization_id, project_id, name, secret_sha256, scopes, created_at)
SELECT 'key-' || n, 'org-' || n % 2, 'proj-' || n, 'k', 's', '[]', 0 FROM generate_series(0, 39) n;
INSERT INTO files (id, organization_id, project_id, filename, purpose, bytes, sha256, object_key,
status, created_at)
SELECT 'file-' || n, 'org-' || n % 2, 'proj-' || n % 40, 'f', 'fine-tune', 1, 's' || n, 'k',
'processed', n FROM generate_series(0, 3999) n;
INSERT INTO jobs (id, organization_id, project_id, status, model, api_key_id, training_file, seed,
hyperparameters, training, output_model, created_at, queued_at, trained_at, finished_at, cost, version,
attempt, next_event_seq)
SELECT 'job-' || n, 'org-' || n % 2, 'proj-' || n % 40, 'succeeded', 'tiny', 'key-' || n % 40, 'file-'
|| n, 1, '{}', '{}', 'ft:' || n, n * 3600, n * 3600, n * 3600, n * 3600, CASE WHEN n % 10 = 0 THEN
'{}'::json END, 0, 0, 0 FROM generate_series(0, 3999) n;
INSERT INTO attempts (job_id, number, submission_id, token_sha256, state, created_at, started_at,
heartbeat_at, ended_at, released_at, num_workers)
SELECT 'job-' || n, 1, 's', 't', 'ended', n, n * 3600, n, n * 3600 + 9, n * 3600 + 9, 1
FROM generate_series(0, 3999) n;
INSERT INTO checkpoints (id, job_id, step, model_name, manifest_key, manifest_sha256, form, metrics,
created_at)
SELECT 'ckpt-' || n, 'job-' || n, 1, 'ft:' || n || ':ckpt-step-1', 'm' || n, 's', 'lora', '{}', n
FROM generate_series(0, 3999) n;
INSERT INTO models (id, organization_id, project_id, job_id, base, form, manifest_key, manifest_sha256,
created_at)
SELECT 'ft:' || n, 'org-' || n % 2, 'proj-' || n % 40, 'job-' || n, 'tiny', 'lora', 'm' || n, 's', n
FROM generate_series(0, 3999) n;
INSERT INTO checkpoint_permissions (id, model_id, project_id, created_at)
SELECT 'cp-' || n, 'ft:' || n, 'proj-' || (n + 1) % 40, 0 FROM generate_series(0, 3999, 40) n;
INSERT INTO model_exports (id, organization_id, project_id, status, model, base, manifest_key,
manifest_sha256, form, format, done_bytes, total_bytes, faults, created_at)
SELECT 'export-' || n, 'org-' || n % 2, 'proj-' || n % 40, 'succeeded', 'ft:' || n, 'tiny', 'm' || n,
's', 'lora', 'merged', 1, 1, 0, n FROM generate_series(1, 3999, 400) n;
INSERT INTO usage (api_key_id, model, operation, start, seconds, writer, organization_id, project_id,
requests, prompt_tokens, completion_tokens)
SELECT 'key-' || n % 40, 'm', 'completions', n * 60, 60, 'w', 'org-' || n % 2, 'proj-' || n % 40, 1, 1,
1 FROM generate_series(0, 3999) n;
INSERT INTO audit_log (organization_id, seq, id, type, effective_at, project_id, actor_id,
service_account_id, resource_id, body, sha256)
SELECT 'org-1', n, 'audit-' || n, 'type-' || n / 10, n, 'proj-' || n / 10, 'key-' || n / 10, CASE WHEN n
% 100 = 0 THEN 'account-' || n END, 'r', '{}', 'h' FROM generate_series(0, 3999) n;
ANALYZE
"""


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[Database]:
    with migrated_database(postgres_url) as url, closing(Database(url)) as database:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(ROWS)
        yield database


def due(session: Session) -> None:
    held = held_of(session, TENANT.project_id)
    for of_project in (
        due_checkpoints(TENANT.project_id, 1e9, held),
        due_files(TENANT.project_id, 1e9, held, of_jobs=False),
    ):
        session.execute(of_project.with_only_columns(func.count()))


def page(wanted: AuditFilter) -> Callable[[Session], object]:
    return lambda session: AuditLog(session, TENANT.organization_id).page(wanted)


def training(session: Session) -> object:
    usage = OrganizationUsage(session, TENANT.organization_id)
    return usage.of_training(UsageFilter(0, DAY, HOUR))


QUERIES: list[tuple[Callable[[Session], object], set[str]]] = [
    (lambda session: TunedModels(session, TENANT).list(), {"ix_models_project_id", "pk_models"}),
    (read_installation, {"ix_attempts_ended"}),
    (past_runs, {"ix_jobs_cost"}),
    (training, {"ix_jobs_organization_trained"}),
    (
        lambda session: device_seconds_this_month(session, jobs_of_organization(TENANT.organization_id)),
        {"ix_attempts_ended"},
    ),
    (lambda session: stored_bytes(session, TENANT), {"ix_checkpoints_manifest_key"}),
    (lambda session: forget_minutes(session, HOUR), {"ix_usage_minutes"}),
    (due, {"ix_models_manifest_key"}),
    (page(AuditFilter(project_ids=["proj-5"])), {"ix_audit_log_project"}),
    (page(AuditFilter(event_types=["type-5"])), {"ix_audit_log_type"}),
    (page(AuditFilter(actor_ids=["key-5"])), {"ix_audit_log_actor", "ix_audit_log_service_account"}),
    (page(AuditFilter(effective_at={"lt": 5})), {"ix_audit_log_effective"}),
]


@pytest.mark.parametrize(("query", "indexes"), QUERIES)
def test_large_tables_are_read_by_indexes(
    filled: Database, query: Callable[[Session], object], indexes: set[str]
) -> None:
    plans: list[str] = []

    def explain(
        connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        with closing(connection.connection.cursor()) as other:
            other.execute(f"EXPLAIN {statement}", parameters)
            plans.extend(line for (line,) in other.fetchall())

    with filled.write() as session:
        # A few thousand rows are read at once rather than by an index that serves.
        session.execute(text("SET LOCAL enable_seqscan = off"))
        event.listen(filled._engine, "before_cursor_execute", explain)
        try:
            query(session)
        finally:
            event.remove(filled._engine, "before_cursor_execute", explain)
        session.rollback()
    missing = {index for index in indexes if not any(index in line for line in plans)}
    assert not missing, "\n".join(plans)
