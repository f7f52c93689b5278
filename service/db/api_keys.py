"""API keys: 256 random bits, shown once, stored as SHA-256.

A generated key is `tk-<id>-<secret>-<checksum>`: the id finds its row, and the checksum exposes a mistyped
key without a query. An operator may also set a key of any other form (`ensure_admin`), whose row is found by
a part of its hash."""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.contracts.errors import AuthenticationFailed, InvalidConfiguration, NotFound
from service.db import tables
from service.db.database import now
from service.db.ids import random_characters
from service.db.tenancy import Tenant

Scope = Literal["read", "write", "infer", "admin"]
DEFAULT_TENANT = Tenant("org-default", "proj-default")
_SHORTEST_GIVEN_KEY = 16
_GENERATED = re.compile(r"(?P<body>tk-(?P<id>[0-9a-z]{12})-[0-9a-f]{64})-(?P<checksum>[0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller and what it may do. The scope `admin` includes every other one."""

    key_id: str
    tenant: Tenant
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    tenant: Tenant
    name: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None
    revoked_at: int | None


class ApiKeys:
    def __init__(self, session: Session) -> None:
        self._session = session

    def create(
        self, tenant: Tenant, *, name: str, scopes: frozenset[Scope], expires_after_seconds: int | None = None
    ) -> tuple[str, ApiKey]:
        """Returns the key in plain text, which is not stored and cannot be shown again, and its record."""
        plaintext = _generate()
        row = self._row(_key_id(plaintext), plaintext, tenant, name, scopes, expires_after_seconds)
        self._session.add(row)
        self._session.flush()
        return plaintext, _api_key_of(row)

    def authenticate(self, plaintext: str) -> Principal:
        """Raises AuthenticationFailed if the key is malformed, unknown, expired or revoked."""
        row = self._session.get(tables.ApiKey, _key_id(plaintext))
        # Compared even without a row, so that response times do not reveal which ids exist.
        is_known = hmac.compare_digest(_sha256(plaintext), row.secret_sha256 if row else "0" * 64)
        is_withdrawn = row is not None and (row.revoked_at is not None or row.replaced_at is not None)
        if row is None or not is_known or is_withdrawn:
            raise AuthenticationFailed("Incorrect API key provided.")
        if row.expires_at is not None and row.expires_at <= now(self._session):
            raise AuthenticationFailed("This API key has expired.", code="expired_api_key")
        return Principal(row.id, Tenant(row.organization_id, row.project_id), frozenset(row.scopes))

    def list(self, tenant: Tenant) -> Sequence[ApiKey]:
        """Newest first, including revoked keys."""
        rows = self._session.scalars(
            select(tables.ApiKey)
            .where(
                tables.ApiKey.organization_id == tenant.organization_id,
                tables.ApiKey.project_id == tenant.project_id,
            )
            .order_by(tables.ApiKey.created_at.desc(), tables.ApiKey.id)
        )
        return [_api_key_of(row) for row in rows]

    def revoke(self, tenant: Tenant, id: str) -> ApiKey:
        """Refuses the key from now on. Revoking it again changes nothing. Raises NotFound."""
        row = self._session.get(tables.ApiKey, id, with_for_update=True)
        if row is None or Tenant(row.organization_id, row.project_id) != tenant:
            raise NotFound(f"No such API key: {id}")
        if row.revoked_at is None:
            row.revoked_at = int(now(self._session))
            self._session.flush()
        return _api_key_of(row)

    def ensure_admin(self, plaintext: str | None, *, organization: str = "tunery") -> str:
        """Makes this the operator's key: an admin key of the default project, which is created if absent.

        An installation has one operator's key. Any earlier one is refused from now on, and accepted again
        once it is set again. Keys made with `create` are not affected, and a revoked key stays revoked.

        `plaintext` is any string of at least 16 characters; None generates a key. Returns the key in plain
        text. Idempotent. Raises InvalidConfiguration for a key that is too short or mistyped."""
        if plaintext is not None and len(plaintext) < _SHORTEST_GIVEN_KEY:
            raise InvalidConfiguration(
                f"The admin key has {len(plaintext)} characters; it must have at least {_SHORTEST_GIVEN_KEY}."
            )
        self._ensure_default_tenant(organization)
        key = _generate() if plaintext is None else plaintext
        try:
            key_id = _key_id(key)
        except AuthenticationFailed as error:
            raise InvalidConfiguration(
                "The admin key looks like one that Tunery made, but its checksum is wrong: mistyped?"
            ) from error
        row = self._row(key_id, key, DEFAULT_TENANT, "admin", frozenset({"admin"}), None)
        row.is_operators = True
        self._add_if_absent(row)
        self._replace_operators_key(key_id)
        return key

    def _replace_operators_key(self, key_id: str) -> None:
        """Makes the key with this id the only operator's key in use."""
        operators = update(tables.ApiKey).where(tables.ApiKey.is_operators)
        others = operators.where(tables.ApiKey.id != key_id, tables.ApiKey.replaced_at.is_(None))
        self._session.execute(others.values(replaced_at=int(now(self._session))))
        self._session.execute(operators.where(tables.ApiKey.id == key_id).values(replaced_at=None))

    def _ensure_default_tenant(self, organization: str) -> None:
        at = int(now(self._session))
        organization_id, project_id = DEFAULT_TENANT.organization_id, DEFAULT_TENANT.project_id
        self._add_if_absent(tables.Organization(id=organization_id, name=organization, created_at=at))
        project = tables.Project(
            id=project_id, organization_id=organization_id, name="default", created_at=at
        )
        self._add_if_absent(project)

    def _add_if_absent(self, row: tables.Organization | tables.Project | tables.ApiKey) -> None:
        """Several processes may start at once: the first row stays."""
        try:
            with self._session.begin_nested():
                self._session.add(row)
        except IntegrityError:
            return

    def _row(
        self,
        key_id: str,
        plaintext: str,
        tenant: Tenant,
        name: str,
        scopes: frozenset[Scope],
        expires_after_seconds: int | None,
    ) -> tables.ApiKey:
        created_at = int(now(self._session))
        return tables.ApiKey(
            id=key_id,
            organization_id=tenant.organization_id,
            project_id=tenant.project_id,
            name=name,
            secret_sha256=_sha256(plaintext),
            scopes=sorted(scopes),
            is_operators=False,
            created_at=created_at,
            expires_at=None if expires_after_seconds is None else created_at + expires_after_seconds,
        )


def _generate() -> str:
    body = f"tk-{random_characters(12)}-{secrets.token_hex(32)}"
    return f"{body}-{_checksum(body)}"


def _key_id(plaintext: str) -> str:
    """The id of the row that the key would have. Raises AuthenticationFailed for a mistyped generated key."""
    generated = _GENERATED.fullmatch(plaintext)
    if generated is None:
        return "given-" + _sha256(plaintext)[:16]
    if generated["checksum"] != _checksum(generated["body"]):
        raise AuthenticationFailed("Incorrect API key provided: it is mistyped.")
    return generated["id"]


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _sha256(plaintext: str) -> str:
    return hashlib.sha256(plaintext.encode("utf-8", "surrogatepass")).hexdigest()


def _api_key_of(row: tables.ApiKey) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant=Tenant(row.organization_id, row.project_id),
        name=row.name,
        scopes=frozenset(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
