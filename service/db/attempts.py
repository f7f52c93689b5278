"""Attempts at running jobs: claims, the runner's sync, and their end."""

from sqlalchemy.orm import Session

from cluster.contracts.jobs import SyncRequest, SyncResponse


class Attempts:
    """All tenants' attempts: the service's own view, never a client's."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def sync(self, job_id: str, number: int, token: str, request: SyncRequest) -> SyncResponse:
        """The runner's heartbeat, events and state, in one transaction (use `Database.write`).

        Repeating a request changes nothing and is answered alike. A cancelled job's newest attempt is told
        `cancel`; its events are dropped. Raises AuthenticationFailed if the token is not this attempt's (or there
        is no such attempt) and Conflict (`fenced`) if a newer attempt exists or the job has ended otherwise.
        """
        raise NotImplementedError
