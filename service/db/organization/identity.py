"""Identities behind tokens, and what the operator grants them."""

from dataclasses import dataclass

from service.db.organization.scopes import Scope


@dataclass(frozen=True, slots=True)
class Grant:
    project_id: str
    scopes: frozenset[Scope]
    is_admin: bool
    """Whether the identity is an admin of the project's organization."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user or program whose identity an issuer confirms."""

    issuer: str
    subject: str
    """Unique within the issuer."""
    grants: tuple[Grant, ...]
    """At least one; the first is the default. No two are for the same project."""
