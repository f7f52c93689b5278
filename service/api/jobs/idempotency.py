"""Creates each job once, however often the client sends the request.

A client's *call* to create a job may reach the server as several *requests*: the first one and its retries.

With an `Idempotency-Key`, the key identifies the call for a day: the same key returns the same job, whatever
its status. The same key with another body is refused, and so is a request that arrives while another request
of its call is being worked on (409).

Without a key, the only evidence is the openai SDK's `x-stainless-retry-count`. A first request (0) begins a
call, and is recorded in the database before any work is done. A retry belongs to the latest call with its API
key and body if that is possible: either it arrives within the SDK's back-off after that call's answer, or its
client has waited for its full timeout. Otherwise its own first request never arrived, and the retry begins
the call. A first request that was overtaken by its retry began before it, and joins the retry's call. A retry
is never answered with a job that has ended.

A first request that the database fails to record is recorded in this process, so that its retry is not
mistaken for one of an earlier call. Where even that fails (without a database, no API key can be checked), a
retry within seconds of the answer to an equal call counts as part of that call.

The work is done in a second transaction, by the latest request of a call: an earlier one that is still
running finds itself fenced and returns the other's job."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from sqlalchemy.orm import Session

from cluster.contracts.errors import TuneryError, Unavailable
from service.api.state import AppState
from service.db.idempotency import CreateRequest, IdempotencyKeys
from service.db.jobs.jobs import Job
from service.db.tenancy import Tenant


def create_idempotently(
    state: AppState, tenant: Tenant, request: CreateRequest, create: Callable[[Session], Job]
) -> Job:
    """Returns the job that `create` makes in its transaction, or that another request of the same call has
    made. Raises what `create` raises, and InProgress and InvalidRequest like `IdempotencyKeys.begin`."""

    def keys(session: Session) -> IdempotencyKeys:
        return IdempotencyKeys(session, tenant, keep_seconds=state.settings.idempotency_seconds)

    try:
        with state.database.write() as session:
            claim_or_job = keys(session).begin(
                replace(request, unrecorded_began=state.unrecorded_requests.began(request))
            )
    except Unavailable:
        if request.retry_count == 0:
            state.unrecorded_requests.add(request)
        raise
    if isinstance(claim_or_job, Job):
        return claim_or_job
    claim = claim_or_job
    try:
        with state.database.write() as session:
            return keys(session).finish(claim, lambda: create(session))
    except Exception:
        # If this fails too, the next request takes over after a while.
        with suppress(TuneryError), state.database.write() as session:
            keys(session).give_up(claim)
        raise
