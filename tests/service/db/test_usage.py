from datetime import date

import pytest

from service.db.api_keys import ApiKeys
from service.db.database import Database
from service.db.tenancy import Tenant
from service.db.usage import Usage, UsageCounts, UsageKey, write_totals
from tests.service.db.rows import OTHER, TENANT, add_tenants

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)


@pytest.fixture
def key_ids(database: Database) -> dict[Tenant, str]:
    add_tenants(database)
    with database.write() as session:
        return {
            tenant: ApiKeys(session).create(tenant, name="k", scopes=frozenset({"infer"}))[1].id
            for tenant in (TENANT, OTHER)
        }


def write(database: Database, writer: str, totals: dict[UsageKey, UsageCounts]) -> None:
    with database.write() as session:
        write_totals(session, writer, totals)


def between(
    database: Database, start: date, end: date, tenant: Tenant = TENANT
) -> dict[UsageKey, UsageCounts]:
    with database.read() as session:
        found = Usage(session, tenant).between(start, end)
    assert [(key.day, key.api_key_id, key.model) for key, _ in found] == sorted(
        (key.day, key.api_key_id, key.model) for key, _ in found
    )
    return dict(found)


def test_usage_is_kept_by_day_and_model(database: Database, key_ids: dict[Tenant, str]) -> None:
    totals = {
        UsageKey(TENANT, key_ids[TENANT], model, day): UsageCounts(1, 2, place)
        for place, (model, day) in enumerate([("b", TUESDAY), ("a", TUESDAY), ("a", MONDAY)])
    }
    write(database, "w", totals)
    assert between(database, MONDAY, TUESDAY) == totals
    assert [key.day for key in between(database, MONDAY, MONDAY)] == [MONDAY]
    assert between(database, date(2026, 3, 4), date(2026, 3, 9)) == {}


def test_the_same_total_written_again_changes_nothing_and_a_newer_one_replaces_it(
    database: Database, key_ids: dict[Tenant, str]
) -> None:
    key = UsageKey(TENANT, key_ids[TENANT], "a", MONDAY)
    for total in (UsageCounts(1, 10, 5), UsageCounts(1, 10, 5), UsageCounts(2, 20, 2**40)):
        write(database, "w", {key: total})
    assert between(database, MONDAY, MONDAY) == {key: UsageCounts(2, 20, 2**40)}


def test_counts_of_several_processes_are_added(database: Database, key_ids: dict[Tenant, str]) -> None:
    key = UsageKey(TENANT, key_ids[TENANT], "a", MONDAY)
    write(database, "one", {key: UsageCounts(1, 10, 5)})
    write(database, "two", {key: UsageCounts(2, 20, 6)})
    assert between(database, MONDAY, MONDAY) == {key: UsageCounts(3, 30, 11)}


def test_another_tenants_usage_is_absent(database: Database, key_ids: dict[Tenant, str]) -> None:
    own, others = (UsageKey(tenant, key_ids[tenant], "a", MONDAY) for tenant in (TENANT, OTHER))
    write(database, "w", {own: UsageCounts(1, 1, 1), others: UsageCounts(2, 2, 2)})
    assert between(database, MONDAY, MONDAY) == {own: UsageCounts(1, 1, 1)}
    assert between(database, MONDAY, MONDAY, OTHER) == {others: UsageCounts(2, 2, 2)}
