"""A job is made once, however often its client sends the request for it.

With an `Idempotency-Key`, the key names the call for a day: the same key brings the same job, whatever has
become of it. Another body is refused, and so is a try that comes while another is at work (409).

Without one, the only mark is the openai SDK's `x-stainless-retry-count`. A first try (0) begins a call, and
is noted in the database before any work is done. A retry belongs to the latest call by its API key with its
body if that can be: it comes within the SDK's back-off after that call's answer, or when its client has
waited out its timeout. Otherwise its own first try was never seen, and the retry begins the call. A first try
that its retry has overtaken began before it, and joins the retry's call. No retry is answered with a job that
has ended.

A first try that the database refuses to note is noted in this process, so that its retry is not taken for one
of an earlier call. Where even that fails (without a database no API key can be checked), a retry within
seconds of the answer to an equal call is taken for that call's.

The work is done in a second transaction, by the latest try of a call: an earlier one that is still under way
finds itself fenced and returns the other's job.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from sqlalchemy.orm import Session

from cluster.contracts.errors import TuneryError, Unavailable
from service.api.state import AppState
from service.db.idempotency import CreateRequest, IdempotencyKeys
from service.db.jobs import Job
from service.db.tenancy import Tenant


def create_idempotently(
    state: AppState, tenant: Tenant, request: CreateRequest, create: Callable[[Session], Job]
) -> Job:
    """The job that `create` makes in the transaction it is given, or that another try of the same call made.
    Raises what `create` raises, and InProgress and InvalidRequest as `IdempotencyKeys.begin` does."""

    def keys(session: Session) -> IdempotencyKeys:
        return IdempotencyKeys(session, tenant, keep_seconds=state.settings.idempotency_seconds)

    try:
        with state.database.write() as session:
            begun = keys(session).begin(
                replace(request, unrecorded_began=state.unrecorded_requests.began(request))
            )
    except Unavailable:
        if request.retry_count == 0:
            state.unrecorded_requests.add(request)
        raise
    if isinstance(begun, Job):
        return begun
    claim = begun
    try:
        with state.database.write() as session:
            return keys(session).finish(claim, lambda: create(session))
    except Exception:
        # If that fails too, the next try takes over after a while.
        with suppress(TuneryError), state.database.write() as session:
            keys(session).give_up(claim)
        raise
