"""Identities of tokens, and what the operator grants to them."""

from dataclasses import dataclass

from service.db.organization.scopes import Scope


@dataclass(frozen=True, slots=True)
class Grant:
    project_id: str
    scopes: frozenset[Scope]
    is_admin: bool
    """Whether this makes an admin of the project's organization."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Someone whom an issuer vouches for."""

    issuer: str
    subject: str
    """Unique for the issuer."""
    grants: tuple[Grant, ...]
    """At least one; the first is the default. No two are for the same project."""
