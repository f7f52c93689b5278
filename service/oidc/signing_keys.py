"""The public keys of an issuer, fetched periodically."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anyio.to_thread
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey, import_key

from cluster.contracts.errors import AuthenticationFailed, TuneryError, Unavailable
from cluster.egress.connecting import get
from cluster.egress.destinations import EgressPolicy
from service.oidc.issuers import Issuer

log = logging.getLogger(__name__)

PublicKey = RSAKey | ECKey
Fetch = Callable[[str, EgressPolicy], bytes]
"""Returns the content at a URL. Raises TuneryError."""

FRESH_SECONDS = 3600.0
"""Keys are fetched again after this time, so that withdrawn ones are refused."""
STALE_SECONDS = 24 * 3600.0
"""How long keys remain valid while the issuer cannot be reached."""
PAUSE_SECONDS = 30.0
"""Minimum time between two fetches, whatever tokens name: a flood of made-up ids must not reach the
issuer."""
PATIENCE_SECONDS = 1.0
"""How long an unresponsive issuer delays tokens whose keys are known."""
_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 2**18
_MAX_KEYS = 100
_MIN_RSA_BITS = 2048


def fetch(url: str, policy: EgressPolicy) -> bytes:
    headers = {"Accept": "application/json", "User-Agent": "Tunery (OpenID Connect)"}
    answer = get(
        url, policy=policy, headers=headers, timeout_seconds=_TIMEOUT_SECONDS, max_body_bytes=_MAX_BYTES
    )
    if answer.status != 200:
        raise Unavailable(f"{url} answers {answer.status}.")
    return answer.body


class SigningKeys:
    """Signing keys of one issuer. Belongs to one event loop."""

    def __init__(
        self, issuer: Issuer, *, fetch: Fetch = fetch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer, self._fetch, self._clock = issuer, fetch, clock
        self._keys: Mapping[str, PublicKey] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    async def get(self, id: str) -> PublicKey:
        """Fetches the keys if this key is unknown or the keys are old, and if the last try was long enough
        ago. Raises AuthenticationFailed if the issuer has no such key, and Unavailable if the issuer cannot
        be reached."""
        if self._refreshing is None and self._is_needed(id) and self._may_try():
            self._tried_at = self._clock()
            self._refreshing = asyncio.create_task(self._refresh())
        if self._refreshing is not None and self._is_needed(id):
            left = max(0.0, self._tried_at + PATIENCE_SECONDS - self._clock())
            await asyncio.wait([self._refreshing], timeout=left if self._known(id) is not None else None)
        if (key := self._known(id)) is not None:
            return key
        if self._fetched_at < self._tried_at:
            raise Unavailable(
                f"The keys of {self._issuer.issuer} cannot be fetched, so that its tokens cannot be checked.",
                retry_after_seconds=PAUSE_SECONDS,
            )
        raise AuthenticationFailed("Incorrect token provided: its issuer has no such key.")

    def _known(self, id: str) -> PublicKey | None:
        return self._keys.get(id) if self._clock() - self._fetched_at < STALE_SECONDS else None

    def _is_needed(self, id: str) -> bool:
        return id not in self._keys or self._clock() - self._fetched_at >= FRESH_SECONDS

    def _may_try(self) -> bool:
        return self._clock() - self._tried_at >= PAUSE_SECONDS

    async def _refresh(self) -> None:
        try:
            self._keys = await anyio.to_thread.run_sync(self._fetched, abandon_on_cancel=True)
            self._fetched_at = self._tried_at
        except (TuneryError, ValueError, RecursionError) as error:
            log.warning("the keys of issuer %s cannot be fetched: %s", self._issuer.issuer, error)
        finally:
            self._refreshing = None

    def _fetched(self) -> Mapping[str, PublicKey]:
        return dict(_usable_keys(self._json(self._jwks_url())))

    def _jwks_url(self) -> str:
        issuer = self._issuer.issuer
        if self._issuer.jwks_url is not None:
            return self._issuer.jwks_url
        document = self._json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise ValueError(f"its configuration is that of {document.get('issuer')!r}")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or (issuer.startswith("https:") and not url.startswith("https:")):
            raise ValueError(f"its jwks_uri is {url!r}")
        return url

    def _json(self, url: str) -> dict[str, Any]:
        document = json.loads(self._fetch(url, self._issuer.egress))
        if not isinstance(document, dict):
            raise ValueError(f"{url} has no JSON object")
        return document


def _usable_keys(document: Mapping[str, Any]) -> Iterator[tuple[str, PublicKey]]:
    """Keys for signatures, by id. Unusable keys are left out: a key set may contain keys for other
    purposes."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("it has no list of keys")
    for one in listed[:_MAX_KEYS]:
        if not isinstance(one, dict) or not isinstance(one.get("kid"), str):
            continue
        if one.get("use", "sig") != "sig" or one.get("kty") not in ("RSA", "EC"):
            continue
        try:
            key = import_key(one)
        except (JoseError, ValueError, TypeError):
            continue
        is_short = isinstance(key, RSAKey) and key.public_key.key_size < _MIN_RSA_BITS
        if isinstance(key, PublicKey) and not is_short:
            yield one["kid"], key
