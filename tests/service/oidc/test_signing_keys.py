"""The keys of an issuer are fetched seldom, and nobody can make Tunery fetch them more often."""

import json
import threading

import anyio
import pytest

from cluster.contracts.errors import AuthenticationFailed, Unavailable
from cluster.egress.destinations import EgressPolicy, UrlNotAllowed
from service.oidc.signing_keys import (
    FRESH_SECONDS,
    PATIENCE_SECONDS,
    PAUSE_SECONDS,
    STALE_SECONDS,
    SigningKeys,
    fetch,
)
from tests.service.oidc.issuing import ISSUER, Provider, issuer_with
from tests.service.webhooks.receiver import receiving


async def ask_for_all(keys: SigningKeys, ids: list[str]) -> None:
    """At once; those that are unknown are refused."""

    async def one(id: str) -> None:
        try:
            await keys.get(id)
        except AuthenticationFailed:
            assert id.startswith("made-up")

    async with anyio.create_task_group() as group:
        for id in ids:
            group.start_soon(one, id)


@pytest.fixture
def provider() -> Provider:
    return Provider()


def test_a_flood_of_made_up_keys_is_one_fetch(provider: Provider) -> None:
    keys = provider.signing_keys(issuer_with())
    made_up = [f"made-up-{number}" for number in range(200)]

    async def flood() -> None:
        await ask_for_all(keys, ["key-1", *made_up])
        assert len(provider.fetched) == 2  # its configuration and its keys
        provider.seconds += PAUSE_SECONDS
        await ask_for_all(keys, made_up)
        assert len(provider.fetched) == 4

    anyio.run(flood)


def test_a_new_key_is_found_when_a_token_names_it_and_a_withdrawn_one_is_refused(provider: Provider) -> None:
    keys = provider.signing_keys(issuer_with())
    anyio.run(keys.get, "key-1")
    provider.rotate("key-2")
    provider.seconds += PAUSE_SECONDS
    anyio.run(keys.get, "key-2")
    with pytest.raises(AuthenticationFailed):
        anyio.run(keys.get, "key-1")
    provider.rotate("key-3")
    anyio.run(keys.get, "key-2")
    provider.seconds += FRESH_SECONDS
    with pytest.raises(AuthenticationFailed):
        anyio.run(keys.get, "key-2")


def test_while_the_issuer_is_down_its_keys_stay_good_for_a_day(provider: Provider) -> None:
    keys = provider.signing_keys(issuer_with())
    anyio.run(keys.get, "key-1")
    provider.is_up = False
    provider.seconds += FRESH_SECONDS
    for _ in range(9):
        anyio.run(keys.get, "key-1")
    assert len(provider.fetched) == 3
    with pytest.raises(Unavailable, match="cannot be fetched"):
        anyio.run(keys.get, "key-2")
    provider.seconds += STALE_SECONDS
    with pytest.raises(Unavailable, match="cannot be fetched"):
        anyio.run(keys.get, "key-1")
    provider.is_up = True
    provider.seconds += PAUSE_SECONDS
    anyio.run(keys.get, "key-1")


def test_an_issuer_that_hangs_holds_up_no_token_whose_key_is_known(provider: Provider) -> None:
    answers = threading.Event()
    answers.set()

    def fetch(url: str, policy: EgressPolicy) -> bytes:
        assert answers.wait(60)
        return provider.fetch(url, policy)

    keys = SigningKeys(issuer_with(), fetch=fetch, clock=lambda: provider.seconds)

    async def ask() -> None:
        await keys.get("key-1")
        answers.clear()
        provider.seconds += FRESH_SECONDS
        await keys.get("key-1")
        provider.seconds += PATIENCE_SECONDS
        with anyio.fail_after(PATIENCE_SECONDS / 2):
            for _ in range(100):
                await keys.get("key-1")
        provider.rotate("key-2")
        answers.set()
        await keys.get("key-2")

    anyio.run(ask)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '{"keys": 1}',
        '{"keys": [1, {}, {"kid": "key-1"}, {"kid": "key-1", "kty": "oct", "k": "c2VjcmV0"}]}',
        '{"keys": [{"kid": "key-1", "kty": "RSA", "n": "AQAB", "e": "AQAB"}]}',
        '{"keys": [{"kid": "key-1", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}',
        "[" * 5000,
    ],
)
def test_documents_without_usable_keys_give_none(document: str) -> None:
    issuer = issuer_with(jwks_url=f"{ISSUER}/certs")
    keys = SigningKeys(issuer, fetch=lambda *_: document.encode())
    with pytest.raises((AuthenticationFailed, Unavailable)):
        anyio.run(keys.get, "key-1")


@pytest.mark.parametrize(
    "configuration",
    [
        {"issuer": "https://another.example.com", "jwks_uri": f"{ISSUER}/certs"},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": "http://login.example.com/certs"},
    ],
)
def test_the_configuration_must_be_the_issuers_own(configuration: dict[str, str]) -> None:
    keys = SigningKeys(issuer_with(), fetch=lambda *_: json.dumps(configuration).encode())
    with pytest.raises(Unavailable):
        anyio.run(keys.get, "key-1")


def test_keys_are_read_over_the_network_without_following_redirects(provider: Provider) -> None:
    with receiving() as receiver:
        local = issuer_with(jwks_url=receiver.url)
        receiver.answer = json.dumps({"keys": [provider.keys["key-1"].as_dict(private=False)]}).encode()
        anyio.run(SigningKeys(local, fetch=fetch).get, "key-1")
        receiver.status, receiver.headers = 302, {"location": receiver.url}
        with pytest.raises(Unavailable):
            anyio.run(SigningKeys(local, fetch=fetch).get, "key-1")
        # What an issuer's configuration names must be public, or the issuer's own host.
        with pytest.raises(UrlNotAllowed):
            fetch("http://127.0.0.1:1/", issuer_with().egress)
