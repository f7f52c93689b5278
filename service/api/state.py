"""The parts of a running API. They are opened at startup and closed at shutdown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from anyio import CapacityLimiter
from fastapi import Depends, Request

from cluster.contracts.bases import BaseSpec
from cluster.egress.destinations import EgressPolicy
from cluster.storage.store import ObjectStore
from service.api.availability import Availability
from service.api.inference.engine import Engine
from service.api.jobs.unrecorded_requests import UnrecordedRequests
from service.api.shared_reads import SharedReads
from service.db.database import Database
from service.db.organization.projects import encryption_key_of
from service.db.tenancy import Tenant
from service.oidc.tokens import Tokens
from service.settings import Settings
from service.webhooks.sending import HttpWebhooks


@dataclass(frozen=True)
class AppState:
    settings: Settings
    database: Database
    store: ObjectStore
    engine: Engine
    catalogue: Mapping[str, BaseSpec]
    """Base models by alias."""
    availability: Availability = field(default_factory=Availability)
    """Availability of the base models."""
    shared_reads: SharedReads[Any] = field(default_factory=SharedReads)
    tokens: Tokens = field(default_factory=lambda: Tokens(()))
    """Validates tokens of identity providers."""
    parsing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))
    """Limits the parsing of large bodies, which briefly takes several times their size in memory."""
    sync_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(8))
    """Threads for runners' reports, which must not wait for tenants' requests to free a thread."""
    webhooks: HttpWebhooks = field(default_factory=lambda: HttpWebhooks(EgressPolicy()))
    webhook_tests: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(4))
    """Limits the threads that wait for receivers of test events."""
    unrecorded_requests: UnrecordedRequests = field(default_factory=UnrecordedRequests)

    def encryption_key(self, tenant: Tenant) -> str | None:
        """Key with which storage encrypts what is written for the project; None leaves the choice to
        storage."""
        with self.database.read() as session:
            return encryption_key_of(session, tenant.project_id)

    def store_of(self, tenant: Tenant) -> ObjectStore:
        """The store, for what is written for the project. Raises InvalidConfiguration
        (`encryption_unsupported`) if it cannot encrypt with the project's key."""
        return self.store.encrypted_with(self.encryption_key(tenant))


async def _state(request: Request) -> AppState:
    state: AppState = request.app.state.app_state
    return state


UsesAppState = Annotated[AppState, Depends(_state)]
