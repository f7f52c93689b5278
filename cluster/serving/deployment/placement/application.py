"""The Serve application of one model, as the entry calls it through a handle."""

import asyncio
import logging
import time
from dataclasses import dataclass, field

from grpc import RpcError
from grpc.aio import BaseError
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from cluster.contracts.errors import Overloaded, TuneryError, Unavailable
from cluster.contracts.generation import ModelRef

_log = logging.getLogger(__name__)


class ReplicaLost(Unavailable):
    """The connection to the replica was lost; the request itself may be fine."""


@dataclass
class ModelApplication:
    name: str
    handle: DeploymentHandle
    placed_at: float
    answered_at: float | None = None
    starting: asyncio.Task[None] | None = None
    users: int = 0
    """Open requests and pending starts."""
    touching: asyncio.Task[None] | None = None
    """Reports the use to the placer."""
    removed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the placer has removed the application."""

    def is_up(self, scale_to_zero_seconds: float) -> bool:
        """Whether a replica certainly exists: one stays for `scale_to_zero_seconds` after its last answer."""
        return (
            self.answered_at is not None and time.monotonic() - self.answered_at < scale_to_zero_seconds / 2
        )

    async def ensure(self, model: ModelRef, *, named: str) -> None:
        """Waits for a replica and until the model is loaded in it. `named` routes to the replica that has it.
        Raises ReplicaLost if the application is removed meanwhile: Serve would wait for it to come back."""
        removed = asyncio.ensure_future(self.removed.wait())
        loading = asyncio.ensure_future(self._ensure(model, named))
        try:
            await asyncio.wait([removed, loading], return_when=asyncio.FIRST_COMPLETED)
            if is_loaded := loading.done():
                await loading
        except Exception as error:
            raise as_ours(error) from error
        finally:
            removed.cancel()
            loading.cancel()
        if not is_loaded:
            raise ReplicaLost("The model was removed before it had started; try again.")
        self.answered_at = time.monotonic()

    async def _ensure(self, model: ModelRef, named: str) -> None:
        options = self.handle.options(method_name="ensure", multiplexed_model_id=named)
        await options.remote(model.model_dump_json(), None)

    def start_ended(self, starting: asyncio.Task[None]) -> None:
        """Called when `starting` has ended."""
        self.starting = None
        if not starting.cancelled():
            starting.exception()


def as_ours(error: Exception) -> Exception:
    """Returns the domain error that the replica raised; for any other error a ReplicaLost, after which the
    request may be retried. Over gRPC a replica's error arrives as it was raised; otherwise it is wrapped by
    Ray."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, TuneryError):
        return cause
    if isinstance(error, BackPressureError):
        return Overloaded("The model has too many requests at once. Try again shortly.")
    # BaseError: the channel was closed during a call, which Serve does once a replica has gone.
    is_transport_error = isinstance(error, RayError | RayServeException | RpcError | BaseError)
    if not is_transport_error or isinstance(error, RayTaskError):
        _log.error("A model's replica, or the connection to it, failed unexpectedly.", exc_info=error)
    return ReplicaLost("The model's replica was lost; try again.", retry_after_seconds=2.0)
