"""The tenant, which determines the rows that a repository may see."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tenant:
    """A project of an organization. Repositories filter by it, so that rows of other tenants are absent."""

    organization_id: str
    project_id: str
