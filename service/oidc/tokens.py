"""Tokens of identity providers: validates them, and finds the sender's identity and grants.

Source: RFC 7519 (JWT), RFC 8725 (its best practices), OpenID Connect Core 1.0, section 3.1.3.7."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import CompactSignature, JWSRegistry

from cluster.contracts.errors import AuthenticationFailed, PermissionDenied
from service.db.organization.identity import Identity
from service.oidc.issuers import Issuer, grants
from service.oidc.signing_keys import SigningKeys

MAX_TOKEN_CHARACTERS = 16 * 1024
LEEWAY_SECONDS = 60.0
"""How far the issuer's clock may be off."""
_MAX_SUBJECT_CHARACTERS = 255
"""OpenID Connect's own limit."""
_LATEST = 2.0**53
"""Unix seconds. Later times, infinity and NaN are not valid times."""
_TYPES = (None, "jwt", "at+jwt", "application/at+jwt")
"""Allowed values of `typ`. Other kinds of tokens, such as logout tokens, are not for APIs."""


class Tokens:
    """Validates tokens of `issuers`. Belongs to one event loop."""

    def __init__(
        self,
        issuers: Iterable[Issuer],
        *,
        keys_of: Callable[[Issuer], SigningKeys] = SigningKeys,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuers = {issuer.issuer: (issuer, keys_of(issuer)) for issuer in issuers}
        self._clock = clock

    def may_be_one(self, bearer: str) -> bool:
        """Whether this looks like a token rather than a key."""
        return bool(self._issuers) and bearer.startswith("eyJ") and bearer.count(".") == 2

    async def identity(self, token: str) -> Identity:
        """Raises AuthenticationFailed for an invalid token, PermissionDenied if no rule grants its sender
        anything, and Unavailable if the issuer's keys cannot be fetched."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            _refuse(f"it has more than {MAX_TOKEN_CHARACTERS} characters")
        signed, claims = _read(token)
        named = claims.get("iss")
        issuer, keys = self._issuers.get(named if isinstance(named, str) else "", (None, None))
        if issuer is None or keys is None:
            _refuse("its issuer is not one of this server's")
        header = signed.headers()
        id = header.get("kid")
        if header.get("alg") not in issuer.algorithms:
            _refuse("its algorithm is not one of its issuer's")
        if not isinstance(id, str) or not id:
            _refuse("it does not name its key")
        key = await keys.get(id)
        try:
            is_good = jws.validate_compact(signed, key, registry=_registry(issuer.algorithms))
        except (JoseError, ValueError):
            is_good = False
        if not is_good:
            _refuse("its signature is wrong")
        _check_claims(claims, issuer.audience, self._clock())
        granted = grants(issuer, claims)
        if not granted:
            raise PermissionDenied("This token is good, but no rule of this server grants it anything.")
        return Identity(issuer.issuer, claims["sub"], granted)


def _read(token: str) -> tuple[CompactSignature, Mapping[str, Any]]:
    """Parses a token without verifying it."""
    try:
        signed = jws.extract_compact(token.encode(), registry=_registry(()))
        claims = json.loads(signed.payload or b"")
    except (JoseError, ValueError, TypeError, RecursionError):
        _refuse("it cannot be read")
    header = signed.headers()
    if not isinstance(claims, dict) or not isinstance(header, dict) or "crit" in header:
        _refuse("it cannot be read")
    kind = header.get("typ")
    if not isinstance(kind, str | None) or not isinstance(header.get("alg"), str):
        _refuse("it cannot be read")
    if (kind and kind.lower()) not in _TYPES:
        _refuse("it is of another kind")
    return signed, claims


def _check_claims(claims: Mapping[str, Any], audience: str, now: float) -> None:
    audiences = claims.get("aud")
    if audience not in (audiences if isinstance(audiences, list) else [audiences]):
        _refuse("it is for another audience")
    subject = claims.get("sub")
    # PostgreSQL cannot store NUL, and no name contains control characters.
    if not isinstance(subject, str) or not subject.isprintable():
        _refuse("it has no subject")
    if not 0 < len(subject) <= _MAX_SUBJECT_CHARACTERS:
        _refuse(f"its subject must have 1 to {_MAX_SUBJECT_CHARACTERS} characters")
    expires = _time(claims, "exp")
    if expires is None:
        _refuse("it never expires")
    if now >= expires + LEEWAY_SECONDS:
        raise AuthenticationFailed("This token has expired.", code="expired_api_key")
    for name in ("nbf", "iat"):
        begins = _time(claims, name)
        if begins is not None and begins > now + LEEWAY_SECONDS:
            _refuse("it is not good yet")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """Unix seconds; None if absent."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        _refuse(f"its {name} is not a time")
    return float(value)


def _registry(algorithms: Iterable[str]) -> JWSRegistry:
    registry = JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
    registry.max_header_length = 4096  # some issuers send certificates along
    return registry


def _refuse(why: str) -> NoReturn:
    raise AuthenticationFailed(f"Incorrect token provided: {why}.")
