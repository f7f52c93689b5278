import hashlib
import threading

import pytest
from sqlalchemy import select

from cluster.contracts.errors import AuthenticationFailed, InvalidConfiguration, NotFound
from service.db import tables
from service.db.api_keys import DEFAULT_TENANT, ApiKeys
from service.db.database import Database
from tests.service.db.rows import OTHER, TENANT, add_tenants


def test_a_new_key_gives_its_scopes_in_its_tenant(database: Database) -> None:
    add_tenants(database)
    with database.write() as session:
        plaintext, key = ApiKeys(session).create(OTHER, name="ci", scopes=frozenset({"read", "infer"}))
    with database.read() as session:
        principal = ApiKeys(session).authenticate(plaintext)
    assert (principal.key_id, principal.tenant) == (key.id, OTHER)
    assert principal.may("read")
    assert principal.may("infer")
    assert not principal.may("write")
    assert not principal.may("admin")


def test_a_key_is_stored_as_its_hash_only(database: Database) -> None:
    add_tenants(database)
    with database.write() as session:
        plaintext, key = ApiKeys(session).create(TENANT, name="ci", scopes=frozenset({"read"}))
    with database.read() as session:
        row = session.get_one(tables.ApiKey, key.id)
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
        revoked, key = keys.create(TENANT, name="old", scopes=frozenset({"read"}))
        expired, _ = keys.create(TENANT, name="short", scopes=frozenset({"read"}), expires_after_seconds=0)
        with pytest.raises(NotFound):
            keys.revoke(OTHER, key.id)
        assert keys.authenticate(revoked)
        at = keys.revoke(TENANT, key.id).revoked_at
        assert keys.revoke(TENANT, key.id).revoked_at == at
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
        assert len(ApiKeys(session).list(DEFAULT_TENANT)) == 2


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
        assert len(ApiKeys(session).list(DEFAULT_TENANT)) == 1


def test_without_a_given_admin_key_one_is_generated(database: Database) -> None:
    with database.write() as session:
        key = ApiKeys(session).ensure_admin(None)
        assert ApiKeys(session).ensure_admin(key) == key
    with database.read() as session:
        assert ApiKeys(session).authenticate(key).may("admin")
        assert len(ApiKeys(session).list(DEFAULT_TENANT)) == 1


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
        keys.revoke(TENANT, keys.authenticate(leaked).key_id)
        keys.ensure_admin("the key that replaces it")
        keys.ensure_admin(leaked)
        with pytest.raises(AuthenticationFailed):
            keys.authenticate(leaked)


def test_a_short_admin_key_is_refused(database: Database) -> None:
    with database.write() as session, pytest.raises(InvalidConfiguration, match="16"):
        ApiKeys(session).ensure_admin("fifteen-letters")
