"""The audit log in the database: it only grows, with the change that it tells of, and its hashes show any
other change."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cluster.contracts.errors import InvalidRequest
from service.audit_chain import chain_fault
from service.db.database import Database
from service.db.organization.audit_log import Actor, AuditFilter, AuditLog, acting
from service.db.organization.projects import Projects
from tests.service.db.rows import OTHER, TENANT, add_tenants

ORGANIZATION = TENANT.organization_id


def create(database: Database, name: str, organization_id: str = ORGANIZATION) -> str:
    with database.write() as session:
        return Projects(session, organization_id).create(name).id


def create_and_fail(database: Database) -> None:
    with database.write() as session:
        Projects(session, ORGANIZATION).create("b")
        raise ZeroDivisionError


def log(database: Database, organization_id: str = ORGANIZATION, **wanted):
    """What is in the log after the installation's own entry, newest first."""
    with database.read() as session:
        entries = AuditLog(session, organization_id).page(AuditFilter(**wanted), limit=1000).data
    assert wanted or chain_fault(entries) is None
    return [entry for entry in entries if entry["sequence"] > 1]


def test_an_entry_is_written_with_its_change_and_not_without(database: Database) -> None:
    add_tenants(database)
    token = acting.set(Actor("key-1", "req_1", "192.0.2.1"))
    try:
        id = create(database, "a")
        with pytest.raises(ZeroDivisionError):
            create_and_fail(database)
    finally:
        acting.reset(token)
    (entry,) = log(database)
    assert (entry["type"], entry["project.created"]) == ("project.created", {"id": id, "data": {"name": "a"}})
    assert entry["project"] == {"id": id, "name": "a"}
    assert entry["actor"]["api_key"] == {"id": "key-1", "type": "user", "service_account": None}
    assert (entry["request_id"], entry["ip_address"]) == ("req_1", "192.0.2.1")


def test_what_is_rolled_back_to_a_savepoint_is_not_in_the_log(database: Database) -> None:
    add_tenants(database)
    with database.write() as session:
        projects = Projects(session, ORGANIZATION)
        projects.create("a")
        with session.begin_nested():
            projects.create("b")
            with suppress(ZeroDivisionError), session.begin_nested():
                projects.create("gone")
                raise ZeroDivisionError
            with session.begin_nested() as savepoint:
                projects.create("gone")
                savepoint.rollback()
            projects.create("c")
        projects.create("d")
    assert [entry["project.created"]["data"]["name"] for entry in log(database)] == ["d", "c", "b", "a"]


def test_what_many_write_at_once_is_one_chain_for_each_organization(database: Database) -> None:
    add_tenants(database)
    organizations = [ORGANIZATION, OTHER.organization_id] * 20
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: create(database, "x", one), organizations))
    assert [entry["sequence"] for entry in log(database)] == list(range(21, 1, -1))
    assert len(log(database, OTHER.organization_id)) == 19
    assert all(entry["actor"] is None for entry in log(database))


def test_entries_can_be_filtered_and_turned_over_both_ways(database: Database) -> None:
    add_tenants(database)
    ids = [create(database, name) for name in "abcd"]
    with database.write() as session:
        Projects(session, ORGANIZATION).rename(ids[1], "B")
    (renamed,) = log(database, event_types=["project.updated"])
    assert renamed["project.updated"] == {"id": ids[1], "changes_requested": {"name": "B"}}
    assert len(log(database, resource_ids=[ids[1]])) == len(log(database, project_ids=[ids[1]])) == 2
    assert log(database, actor_ids=["key-1"]) == []
    at = log(database)[0]["effective_at"]
    assert len(log(database, effective_at={"lte": at})) == 5
    assert log(database, effective_at={"gt": at}) == []
    entries = log(database)
    with database.read() as session:
        audit = AuditLog(session, ORGANIZATION)
        page = audit.page(after=entries[0]["id"], limit=2)
        assert (page.data, page.has_more) == (entries[1:3], True)
        page = audit.page(before=entries[4]["id"], limit=2)
        assert (page.data, page.has_more) == (entries[2:4], True)
        with pytest.raises(InvalidRequest, match="to list after"):
            AuditLog(session, OTHER.organization_id).page(after=entries[0]["id"])


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit_log SET body = replace(body, '\"b\"', '\"B\"')", "entry 3 .* was changed"),
        ("DELETE FROM audit_log WHERE seq = 3", "entry 3 is missing"),
        ("DELETE FROM audit_log WHERE seq < 3", "begins with entry 3"),
    ],
)
def test_a_change_is_refused_and_shows_where_it_was_forced(
    database: Database, statement: str, fault: str
) -> None:
    add_tenants(database)
    for name in "abc":
        create(database, name)
    with pytest.raises(DBAPIError, match="only be added to"), database.write() as session:
        session.execute(text(statement))
    with database.write() as session:
        if database.dialect == "postgresql":
            session.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            for event in ("update", "delete"):
                session.execute(text(f"DROP TRIGGER audit_log_no_{event}"))
        session.execute(text(statement))
    with database.read() as session:
        found = chain_fault(AuditLog(session, ORGANIZATION).page(limit=100).data)
    assert found is not None
    assert re.search(fault, found)
