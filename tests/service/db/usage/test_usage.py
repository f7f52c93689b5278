from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import select

from service.db import tables
from service.db.database import Database
from service.db.organization.api_keys import ApiKeys
from service.db.tenancy import Tenant
from service.db.usage.usage import (
    DAY,
    HOUR,
    MINUTE,
    Usage,
    UsageCounts,
    UsageKey,
    forget_minutes,
    write_totals,
)
from tests.service.db.rows import OTHER, TENANT, add_tenants

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)


def hour(tenant: Tenant, api_key_id: str, model: str, day: date, at: int = 7) -> UsageKey:
    start = int(datetime(day.year, day.month, day.day, at, tzinfo=UTC).timestamp())
    return UsageKey(tenant, api_key_id, model, "completions", start, HOUR)


@pytest.fixture
def key_ids(database: Database) -> dict[Tenant, str]:
    add_tenants(database)
    with database.write() as session:
        return {
            tenant: ApiKeys(session).create(tenant, name="k", scopes=frozenset({"infer"}))[1]
            for tenant in (TENANT, OTHER)
        }


def write(database: Database, writer: str, totals: dict[UsageKey, UsageCounts]) -> None:
    with database.write() as session:
        write_totals(session, writer, totals)


def between(
    database: Database, start: date, end: date, tenant: Tenant = TENANT
) -> dict[tuple[date, str, str], UsageCounts]:
    with database.read() as session:
        found = Usage(session, tenant).between(start, end)
    days = [(key.day, key.api_key_id, key.model) for key, _ in found]
    assert days == sorted(days)
    return dict(zip(days, (used for _, used in found), strict=True))


def test_usage_is_kept_by_hour_and_added_up_by_day(database: Database, key_ids: dict[Tenant, str]) -> None:
    key = key_ids[TENANT]
    hours = [("b", TUESDAY, 0), ("a", TUESDAY, 23), ("a", TUESDAY, 0), ("a", MONDAY, 23)]
    write(
        database,
        "w",
        {hour(TENANT, key, *of): UsageCounts(1, 2, place) for place, of in enumerate(hours)}
        # Each use is counted by the minute too.
        | {replace(hour(TENANT, key, "a", MONDAY), seconds=MINUTE): UsageCounts(1, 2, 3)},
    )
    assert between(database, MONDAY, TUESDAY) == {
        (MONDAY, key, "a"): UsageCounts(1, 2, 3),
        (TUESDAY, key, "a"): UsageCounts(2, 4, 3),
        (TUESDAY, key, "b"): UsageCounts(1, 2, 0),
    }
    assert {day for day, *_ in between(database, MONDAY, MONDAY)} == {MONDAY}
    assert between(database, date(2026, 3, 4), date(2026, 3, 9)) == {}


def test_minutes_are_forgotten_and_hours_stay(database: Database, key_ids: dict[Tenant, str]) -> None:
    key = hour(TENANT, key_ids[TENANT], "a", MONDAY)
    write(database, "w", {key: UsageCounts(1, 2, 3), replace(key, seconds=MINUTE): UsageCounts(1, 2, 3)})
    for before, is_any, kept in ((key.start, False, 2), (key.start + 1, True, 1)):
        with database.write() as session:
            assert forget_minutes(session, before) == is_any
            assert len(session.scalars(select(tables.Usage)).all()) == kept
    assert len(between(database, MONDAY, MONDAY)) == 1


def test_minutes_are_forgotten_by_the_hour_so_that_no_transaction_is_long(
    database: Database, key_ids: dict[Tenant, str]
) -> None:
    first = replace(hour(TENANT, key_ids[TENANT], "a", MONDAY), seconds=MINUTE)
    minutes = [replace(first, start=first.start + minute * MINUTE) for minute in (0, 1, 59, 60, 300)]
    write(database, "w", dict.fromkeys(minutes, UsageCounts(1, 2, 3)))
    left = []
    is_any = True
    while is_any:
        with database.write() as session:
            is_any = forget_minutes(session, first.start + DAY)
            left.append(len(session.scalars(select(tables.Usage)).all()))
    assert left == [2, 1, 0, 0]


def test_the_same_total_written_again_changes_nothing_and_a_newer_one_replaces_it(
    database: Database, key_ids: dict[Tenant, str]
) -> None:
    key = hour(TENANT, key_ids[TENANT], "a", MONDAY)
    for total in (UsageCounts(1, 10, 5), UsageCounts(1, 10, 5), UsageCounts(2, 20, 2**40)):
        write(database, "w", {key: total})
    assert between(database, MONDAY, MONDAY) == {(MONDAY, key.api_key_id, "a"): UsageCounts(2, 20, 2**40)}


def test_counts_of_several_processes_are_added(database: Database, key_ids: dict[Tenant, str]) -> None:
    key = hour(TENANT, key_ids[TENANT], "a", MONDAY)
    write(database, "one", {key: UsageCounts(1, 10, 5)})
    write(database, "two", {key: UsageCounts(2, 20, 6)})
    assert between(database, MONDAY, MONDAY) == {(MONDAY, key.api_key_id, "a"): UsageCounts(3, 30, 11)}


def test_another_tenants_usage_is_absent(database: Database, key_ids: dict[Tenant, str]) -> None:
    own, others = (hour(tenant, key_ids[tenant], "a", MONDAY) for tenant in (TENANT, OTHER))
    write(database, "w", {own: UsageCounts(1, 1, 1), others: UsageCounts(2, 2, 2)})
    assert between(database, MONDAY, MONDAY) == {(MONDAY, own.api_key_id, "a"): UsageCounts(1, 1, 1)}
    assert between(database, MONDAY, MONDAY, OTHER) == {
        (MONDAY, others.api_key_id, "a"): UsageCounts(2, 2, 2)
    }


def test_what_was_used_in_a_project_that_is_gone_holds_up_nobody(
    database: Database, key_ids: dict[Tenant, str]
) -> None:
    """A request may outlast its project's archiving by more than a deletion waits."""
    gone = Tenant(TENANT.organization_id, "proj_gone")
    used = {
        hour(gone, key_ids[TENANT], "a", MONDAY): UsageCounts(1, 1, 1),
        hour(TENANT, "a key that is gone", "a", MONDAY): UsageCounts(1, 1, 1),
        hour(OTHER, key_ids[OTHER], "a", MONDAY): UsageCounts(1, 2, 3),
    }
    write(database, "w", used)
    assert between(database, MONDAY, MONDAY) == {}
    assert between(database, MONDAY, MONDAY, OTHER) == {(MONDAY, key_ids[OTHER], "a"): UsageCounts(1, 2, 3)}
