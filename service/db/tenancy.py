"""Whose rows a repository may see."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tenant:
    """A project of an organization. Every repository of tenants' rows filters by it; another tenant's row is
    absent."""

    organization_id: str
    project_id: str
