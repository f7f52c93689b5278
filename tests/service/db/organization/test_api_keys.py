import hashlib
import threading

import pytest
from sqlalchemy import select

from cluster.contracts.errors import AuthenticationFailed, Conflict, InvalidConfiguration, NotFound
from service.db import tables
from service.db.archiving import archive_project
from service.db.database import Database, now
from service.db.organization.api_keys import DEFAULT_TENANT, ApiKeys
from service.db.organization.key_sets import KeySet
from service.db.organization.key_use import write_last_use
from service.db.organization.projects import Projects
from service.db.organization.service_accounts import ServiceAccounts
from service.db.tenancy import Tenant
from tests.service.db.rows import OTHER, TENANT, add_tenants


def test_a_new_key_gives_its_scopes_in_its_tenant(database: Database) -> None:
    add_tenants(database)
    with database.write() as session:
        plaintext, id = ApiKeys(session).create(OTHER, name="ci", scopes=frozenset({"read", "infer"}))
    with database.read() as session:
        principal = ApiKeys(session).authenticate(plaintext)
    assert (principal.key_id, principal.tenant, principal.is_admin_key) == (id, OTHER, False)
    assert principal.may("read")
    assert principal.may("infer")
    assert not principal.may("write")
    assert not principal.may("admin")


def test_a_key_is_stored_as_its_hash_only(database: Database) -> None:
    add_tenants(database)
    with database.write() as session:
        plaintext, id = ApiKeys(session).create(TENANT, name="ci", scopes=frozenset({"read"}))
    with database.read() as session:
        row = session.get_one(tables.ApiKey, id)
        stored = " ".join(str(value) for value in vars(row).values())
    assert row.secret_sha256 == hashlib.sha256(plaintext.encode()).hexdigest()
    assert plaintext.split("-")[2] not in stored


def test_every_changed_character_is_detected(database: Database) -> None:
    add_tenants(database)
    with database.write() as session:
        plaintext, _ = ApiKeys(session).create(TENANT, name="ci", scopes=frozenset({"read"}))
    with database.read() as session:
        for position in range(len(plaintext)):
            other = "0" if plaintext[position] != "0" else "1"
            wrong = plaintext[:position] + other + plaintext[position + 1 :]
            with pytest.raises(AuthenticationFailed):
                ApiKeys(session).authenticate(wrong)


@pytest.mark.parametrize(
    "wrong", ["", "tk-", "sk-something-else-entirely", "tk-a-b-c", "x" * 10_000, "\udce9"]
)
def test_anything_else_is_no_key(database: Database, wrong: str) -> None:
    with database.read() as session, pytest.raises(AuthenticationFailed):
        ApiKeys(session).authenticate(wrong)


def test_a_revoked_or_expired_key_is_refused(database: Database) -> None:
    add_tenants(database)
    with database.write() as session:
        keys = ApiKeys(session)
        revoked, id = keys.create(TENANT, name="old", scopes=frozenset({"read"}))
        expired, _ = keys.create(TENANT, name="short", scopes=frozenset({"read"}), expires_after_seconds=0)
        for others in (KeySet.of_project(session, OTHER), KeySet.of_admins(session, TENANT.organization_id)):
            with pytest.raises(NotFound):
                others.revoke(id)
        assert keys.authenticate(revoked)
        own = KeySet.of_project(session, TENANT)
        own.revoke(id)
        for act in (own.revoke, own.get):
            with pytest.raises(NotFound):
                act(id)
    with database.read() as session:
        for plaintext in (revoked, expired):
            with pytest.raises(AuthenticationFailed):
                ApiKeys(session).authenticate(plaintext)


def test_a_given_admin_key_may_be_any_long_string_and_is_created_once(database: Database) -> None:
    for given in ("a plain operator's sentence", "tk-not-one-of-ours-at-all"):
        for _ in range(2):
            with database.write() as session:
                assert ApiKeys(session).ensure_admin(given, organization="acme") == given
        with database.read() as session:
            principal = ApiKeys(session).authenticate(given)
            with pytest.raises(AuthenticationFailed):
                ApiKeys(session).authenticate(given + "x")
        assert principal.tenant == DEFAULT_TENANT
        assert all(principal.may(scope) for scope in ("read", "write", "infer", "admin"))
    with database.read() as session:
        assert session.scalars(select(tables.Organization.name)).all() == ["acme"]
        assert len(session.scalars(select(tables.ApiKey)).all()) == 2
        assert len(KeySet.of_admins(session, DEFAULT_TENANT.organization_id).page(limit=9).data) == 1


def test_many_processes_may_ensure_the_admin_key_at_once(database: Database) -> None:
    start, failures = threading.Barrier(4), []

    def ensure() -> None:
        start.wait()
        try:
            with database.write() as session:
                ApiKeys(session).ensure_admin("the same key for all of them")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ensure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as session:
        assert len(session.scalars(select(tables.ApiKey)).all()) == 1


def test_without_a_given_admin_key_one_is_generated(database: Database) -> None:
    with database.write() as session:
        key = ApiKeys(session).ensure_admin(None)
        assert ApiKeys(session).ensure_admin(key) == key
    with database.read() as session:
        assert ApiKeys(session).authenticate(key).may("admin")
        assert len(session.scalars(select(tables.ApiKey)).all()) == 1


def test_the_operators_key_replaces_the_earlier_one_and_may_be_set_again(database: Database) -> None:
    def is_accepted(plaintext: str) -> bool:
        with database.read() as session:
            try:
                return ApiKeys(session).authenticate(plaintext).may("admin")
            except AuthenticationFailed:
                return False

    with database.write() as session:
        from_the_folder = ApiKeys(session).ensure_admin(None)
        of_a_client, _ = ApiKeys(session).create(TENANT, name="admin", scopes=frozenset({"admin"}))
    given = ["the first operator's key", "the second operator's key", from_the_folder]
    known = {from_the_folder}
    for current in (*given, *reversed(given)):
        with database.write() as session:
            ApiKeys(session).ensure_admin(current)
        known.add(current)
        assert [key for key in known if is_accepted(key)] == [current]
        assert is_accepted(of_a_client)


def test_a_revoked_operators_key_stays_revoked(database: Database) -> None:
    with database.write() as session:
        keys = ApiKeys(session)
        leaked = keys.ensure_admin("a key that was found on a forum")
        session.get_one(tables.ApiKey, keys.authenticate(leaked).key_id).revoked_at = 1
        keys.ensure_admin("the key that replaces it")
        keys.ensure_admin(leaked)
        with pytest.raises(AuthenticationFailed):
            keys.authenticate(leaked)


def test_a_short_admin_key_is_refused(database: Database) -> None:
    with database.write() as session, pytest.raises(InvalidConfiguration, match="16"):
        ApiKeys(session).ensure_admin("fifteen-letters")


def test_the_operators_key_cannot_be_deleted(database: Database) -> None:
    with database.write() as session:
        keys = ApiKeys(session)
        id = keys.authenticate(keys.ensure_admin(None)).key_id
        admins = KeySet.of_admins(session, DEFAULT_TENANT.organization_id)
        with pytest.raises(Conflict) as refused:
            admins.revoke(id)
        assert refused.value.code == "operators_key"
        second, second_id = keys.create_admin(DEFAULT_TENANT, name="second")
        assert {key.id for key in admins.page(limit=9).data} == {id, second_id}
        admins.revoke(second_id)
        with pytest.raises(AuthenticationFailed):
            keys.authenticate(second)


def test_an_admin_key_acts_in_any_active_project_of_its_organization(database: Database) -> None:
    add_tenants(database)
    with database.write() as session:
        keys, projects = ApiKeys(session), Projects(session, TENANT.organization_id)
        admin, _ = keys.create_admin(TENANT, name="admin")
        project, archived = projects.create("second"), projects.create("archived")
        archive_project(session, TENANT.organization_id, archived.id)
        assert keys.authenticate(admin).tenant == TENANT
        acting = keys.authenticate(admin, organization_id=TENANT.organization_id, project_id=project.id)
        assert acting.tenant == Tenant(TENANT.organization_id, project.id)
        assert (acting.may("write"), acting.is_admin_key) == (True, True)
        for absent in (OTHER.project_id, archived.id, "proj-absent"):
            with pytest.raises(AuthenticationFailed) as refused:
                keys.authenticate(admin, project_id=absent)
            assert refused.value.code == "mismatched_project"


def test_a_project_key_acts_nowhere_else(database: Database) -> None:
    add_tenants(database)
    with database.write() as session:
        keys = ApiKeys(session)
        plaintext, _ = keys.create(TENANT, name="ci", scopes=frozenset({"admin"}))
        second = Projects(session, TENANT.organization_id).create("second")
        named = {"organization_id": TENANT.organization_id, "project_id": TENANT.project_id}
        assert keys.authenticate(plaintext, **named).tenant == TENANT
        for other, code in (
            ({"project_id": second.id}, "mismatched_project"),
            ({"organization_id": OTHER.organization_id}, "mismatched_organization"),
        ):
            with pytest.raises(AuthenticationFailed) as refused:
                keys.authenticate(plaintext, **named | other)
            assert refused.value.code == code


def test_a_service_account_has_two_keys_while_they_are_rotated_and_none_once_it_is_deleted(
    database: Database,
) -> None:
    add_tenants(database)
    read = frozenset({"read"})
    with database.write() as session:
        keys, accounts = ApiKeys(session), ServiceAccounts(session, TENANT)
        account, other = accounts.create("ci"), accounts.create("other")
        first, first_id = keys.create(TENANT, name="1", scopes=read, service_account_id=account.id)
        second, second_id = keys.create(TENANT, name="2", scopes=read, service_account_id=account.id)
        others, _ = keys.create(TENANT, name="3", scopes=read, service_account_id=other.id)
        assert keys.authenticate(first).key_id == first_id
        assert keys.authenticate(second).key_id == second_id
        listed = KeySet.of_project(session, TENANT)
        listed.revoke(first_id)
        owners = [key.service_account for key in listed.page(limit=9, order="asc").data]
        assert {owner.name for owner in owners if owner is not None} == {"ci", "other"}
        accounts.delete(account.id)
        for plaintext in (first, second):
            with pytest.raises(AuthenticationFailed):
                keys.authenticate(plaintext)
        assert keys.authenticate(others)
        assert accounts.page(limit=9).data == [other]
        for absent in (account.id, "svc_acct_absent"):
            with pytest.raises(NotFound):
                accounts.get_and_lock(absent)
        with pytest.raises(NotFound):
            ServiceAccounts(session, OTHER).get(other.id)


def test_the_time_of_use_is_written_for_many_keys_at_once(database: Database) -> None:
    add_tenants(database)
    with database.write() as session:
        keys = ApiKeys(session)
        ids = [keys.create(TENANT, name="k", scopes=frozenset({"read"}))[1] for _ in range(3)]
    with database.write() as session:
        write_last_use(session, ids[:2])
    with database.read() as session:
        found = KeySet.of_project(session, TENANT)
        used = [found.get(id).last_used_at for id in ids]
        assert used[2] is None
        assert all(at is not None and abs(at - now(session)) < 60 for at in used[:2])
