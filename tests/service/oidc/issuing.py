"""An identity provider in the test's own process."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from cluster.contracts.errors import Unavailable
from cluster.egress.destinations import EgressPolicy
from service.oidc.issuers import Issuer
from service.oidc.signing_keys import SigningKeys
from service.oidc.tokens import Tokens

ISSUER = "https://login.example.com/realms/company"
AUDIENCE = "tunery"


@dataclass
class Provider:
    """Also the time, and what fetches its documents."""

    keys: dict[str, RSAKey | ECKey] = field(default_factory=dict)
    is_up: bool = True
    fetched: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.rotate("key-1")

    def rotate(self, *ids: str) -> None:
        """Replaces its keys."""
        self.keys = {id: ECKey.generate_key("P-256", parameters={"kid": id, "use": "sig"}) for id in ids}

    def fetch(self, url: str, policy: EgressPolicy) -> bytes:
        self.fetched.append(url)
        policy.check_url(url)
        if not self.is_up:
            raise Unavailable("It does not answer.")
        if url == f"{ISSUER}/.well-known/openid-configuration":
            return json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/certs"}).encode()
        assert url == f"{ISSUER}/certs"
        return json.dumps({"keys": [key.as_dict(private=False) for key in self.keys.values()]}).encode()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good ones, but for the changes; None leaves a claim out."""
        now = time.time()
        good = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "iat": now,
            "exp": now + 300,
            "groups": ["/ml", "/all"],
        }
        return {name: value for name, value in (good | changes).items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        kid, key = next(iter(self.keys.items()))
        head = {"alg": "ES256", "kid": kid, "typ": "JWT"} | (header or {})
        payload = json.dumps(self.claims(**changes))
        return jws.serialize_compact(head, payload, key, algorithms=["ES256"])

    def signing_keys(self, issuer: Issuer) -> SigningKeys:
        return SigningKeys(issuer, fetch=self.fetch, clock=lambda: self.seconds)

    def tokens(self, *rules: dict[str, Any], clock: Callable[[], float] = time.time) -> Tokens:
        return Tokens([issuer_with(*rules)], keys_of=self.signing_keys, clock=clock)


def issuer_with(*rules: dict[str, Any], **fields: Any) -> Issuer:
    some = {"claims": {"groups": "/ml"}, "project": "proj_1", "scopes": ["read"]}
    return Issuer(issuer=ISSUER, audience=AUDIENCE, rules=rules or (some,), **fields)
