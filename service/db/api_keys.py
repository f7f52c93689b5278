"""API keys: 256 random bits, shown once, stored as SHA-256.

A generated key is `tk-<id>-<secret>-<checksum>`: the id finds its row, the checksum refuses a mistyped key without
asking the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from service.db.tenancy import Tenant

Scope = Literal["read", "write", "infer", "admin"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, and what they may do. `admin` includes every other scope."""

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
        """The key in plain text, which is not stored and cannot be shown again, and its row."""
        raise NotImplementedError

    def authenticate(self, plaintext: str) -> Principal:
        """Raises AuthenticationFailed if the key is malformed, unknown, expired or revoked."""
        raise NotImplementedError

    def list(self, tenant: Tenant) -> Sequence[ApiKey]:
        """Newest first, revoked ones too."""
        raise NotImplementedError

    def revoke(self, tenant: Tenant, id: str) -> ApiKey:
        """From now on the key is refused; again changes nothing. Raises NotFound."""
        raise NotImplementedError

    def ensure_admin(self, plaintext: str | None, *, organization: str = "tunery") -> str:
        """Makes sure that the default project has this admin key, and makes organization and project if absent.

        `plaintext` is any string of at least 16 characters (else InvalidConfiguration); None makes a new key.
        Returns the key in plain text. Idempotent.
        """
        raise NotImplementedError
