"""What a running API is made of; opened when it starts, closed when it ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from anyio import CapacityLimiter
from fastapi import Depends, Request

from cluster.contracts.bases import BaseSpec
from cluster.storage.store import ObjectStore
from service.api.availability import Availability
from service.api.inference.engine import Engine
from service.api.jobs.unseen_tries import UnseenTries
from service.api.lookups import Lookups
from service.db.database import Database
from service.settings import Settings


@dataclass(frozen=True)
class Parts:
    settings: Settings
    database: Database
    store: ObjectStore
    engine: Engine
    catalogue: Mapping[str, BaseSpec]
    """Base models by alias."""
    availability: Availability = field(default_factory=Availability)
    """Of the base models."""
    lookups: Lookups[Any] = field(default_factory=Lookups)
    parsing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))
    """Of large bodies: each takes several times its size for a moment, and all share one interpreter."""
    unseen_tries: UnseenTries = field(default_factory=UnseenTries)


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


UsesParts = Annotated[Parts, Depends(_parts)]
