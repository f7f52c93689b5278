"""A token is good only if everything about it is."""

import base64
import hmac
import json
import time
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from cluster.contracts.errors import AuthenticationFailed, PermissionDenied
from service.db.organization.identity import Grant, Identity
from service.oidc.signing_keys import PublicKey
from service.oidc.tokens import LEEWAY_SECONDS, MAX_TOKEN_CHARACTERS, Tokens
from tests.service.oidc.issuing import ISSUER, Provider, issuer_with


def identity(tokens: Tokens, token: str) -> Identity:
    assert tokens.may_be_one(token)
    return anyio.run(tokens.identity, token)


def refusal(tokens: Tokens, token: str) -> str:
    with pytest.raises(AuthenticationFailed) as refused:
        identity(tokens, token)
    return refused.value.message


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_a_good_token_names_its_subject_and_what_it_is_granted() -> None:
    provider = Provider()
    granted = (Grant("proj_1", frozenset({"read"}), is_admin=False),)
    for changes in ({}, {"aud": ["else", "tunery"]}, {"iat": None}, {"nbf": time.time()}):
        found = identity(provider.tokens(), provider.token(**changes))
        assert found == Identity(ISSUER, "alice", granted)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"aud": "another"}, "audience"),
        ({"aud": ["another"]}, "audience"),
        ({"aud": None}, "audience"),
        ({"iss": "https://evil.example.com"}, "issuer"),
        ({"iss": f"{ISSUER}/"}, "issuer"),
        ({"iss": [ISSUER]}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"sub": None}, "subject"),
        ({"sub": ""}, "subject"),
        ({"sub": "a" * 256}, "subject"),
        ({"sub": "a\0b"}, "subject"),
        ({"sub": 7}, "subject"),
        ({"exp": None}, "never expires"),
        ({"exp": "tomorrow"}, "not a time"),
        ({"exp": True}, "not a time"),
        ({"exp": float("inf")}, "not a time"),
        ({"exp": 10**400}, "not a time"),
        ({"exp": time.time() - LEEWAY_SECONDS - 1}, "expired"),
        ({"nbf": time.time() + 3600}, "not good yet"),
        ({"iat": time.time() + 3600}, "not good yet"),
        ({"header": {"kid": "key-2"}}, "no such key"),
        ({"header": {"kid": ""}}, "does not name its key"),
        ({"header": {"typ": "logout+jwt"}}, "another kind"),
        ({"padding": "x" * MAX_TOKEN_CHARACTERS}, "characters"),
    ],
)
def test_a_token_with_one_thing_wrong_is_refused(changes: dict[str, Any], why: str) -> None:
    provider = Provider()
    assert why in refusal(provider.tokens(), provider.token(**changes))


def test_a_token_is_good_within_the_leeway_of_clocks() -> None:
    provider = Provider()
    late, early = time.time() - LEEWAY_SECONDS / 2, time.time() + LEEWAY_SECONDS / 2
    identity(provider.tokens(), provider.token(exp=late, iat=early, nbf=early))


def test_forged_tokens_are_refused() -> None:
    provider = Provider()
    tokens = provider.tokens()
    identity(tokens, provider.token())  # so that the keys are known
    (public,) = provider.keys.values()
    head, claims = {"kid": "key-1", "typ": "JWT"}, provider.claims()
    unsigned = f"{encoded(head | {'alg': 'HS256'})}.{encoded(claims)}"
    mac = hmac.digest(public.as_pem(private=False), unsigned.encode(), "sha256")
    with_public_key = f"{unsigned}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    other = ECKey.generate_key("P-256")
    signed = jws.serialize_compact(head | {"alg": "ES256"}, json.dumps(claims), other, algorithms=["ES256"])
    good = provider.token()
    changed = ".".join([good.split(".")[0], encoded(claims | {"sub": "root"}), good.split(".")[2]])
    nameless = provider.token().split(".")
    nameless[0] = encoded({"alg": "ES256"})
    for token, why in (
        (f"{encoded(head | {'alg': 'none'})}.{encoded(claims)}.", "algorithm"),
        (f"{encoded(head | {'alg': 'None'})}.{encoded(claims)}.", "algorithm"),
        (with_public_key, "algorithm"),
        (signed, "signature"),
        (changed, "signature"),
        (good[:-8], "signature"),
        (f"{encoded(head | {'alg': 'RS256'})}.{encoded(claims)}.{good.split('.')[2]}", "signature"),
        (".".join(nameless), "does not name its key"),
        (f"{encoded({'alg': 'ES256', 'crit': ['b64'], 'b64': False})}.{encoded(claims)}.x", "read"),
        (f"{encoded({'alg': 'ES256', 'typ': 7})}.{encoded(claims)}.x", "read"),
        (f"{encoded({'alg': 'ES256'})}.{encoded([])}.x", "read"),
        (f"{encoded(head | {'alg': ['ES256']})}.{encoded(claims)}.x", "read"),
        (f"{encoded(head | {'alg': {}})}.{encoded(claims)}.x", "read"),
        ("eyJ.e.é", "read"),
        ("eyJ" + "[" * 5000 + "..", "read"),
        (f"{encoded(head)}.{base64.urlsafe_b64encode(b'[' * 9000).decode()}.x", "read"),
    ):
        assert why in refusal(tokens, token), token


def test_a_key_in_the_header_of_a_token_is_not_used() -> None:
    provider, own = Provider(), ECKey.generate_key("P-256")
    head = {"alg": "ES256", "kid": "key-1", "jwk": own.as_dict(private=False), "jku": "https://evil.example"}
    token = jws.serialize_compact(head, json.dumps(provider.claims()), own, algorithms=["ES256"])
    assert "signature" in refusal(provider.tokens(), token)
    assert all(url.startswith(ISSUER) for url in provider.fetched)


def test_only_the_algorithms_of_the_issuer_are_good() -> None:
    provider = Provider()
    key = RSAKey.import_key(rsa.generate_private_key(65537, 2048), {"kid": "rsa"})
    provider.keys = {"rsa": key}
    payload = json.dumps(provider.claims())
    for algorithm, is_good in (("RS256", True), ("PS256", False)):
        token = jws.serialize_compact(
            {"alg": algorithm, "kid": "rsa"}, payload, key, algorithms=["RS256", "PS256"]
        )
        if is_good:
            identity(provider.tokens(), token)
        else:
            assert "algorithm" in refusal(provider.tokens(), token)


def test_who_is_granted_nothing_is_told_so() -> None:
    provider = Provider()
    with pytest.raises(PermissionDenied):
        identity(provider.tokens(), provider.token(groups=["/others"]))


def test_keys_are_not_taken_for_tokens() -> None:
    assert not Provider().tokens().may_be_one("tk-" + "a" * 12)
    assert not Tokens(()).may_be_one(Provider().token())


def test_a_provider_has_keys_of_its_own() -> None:
    assert isinstance(next(iter(Provider().keys.values())), PublicKey)
    assert issuer_with().algorithms == {"RS256", "ES256"}
