"""Sends one webhook over the network."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Protocol

from cluster.contracts.errors import TuneryError
from cluster.egress.connecting import Network, post
from cluster.egress.destinations import EgressPolicy
from service.db.webhooks.queue import Outcome
from service.webhooks.signing import signed_headers

_TIMEOUT_SECONDS = 10.0
_SHOWN_BYTES = 2048
"""How much of a response is kept for display."""


class SendWebhook(Protocol):
    """Posts a signed event. Never raises: problems are reported in the outcome."""

    def __call__(
        self, url: str, secrets: Sequence[str], *, event_id: str, body: str, at: float
    ) -> Outcome: ...


class CountedWebhooks:
    """Sends with `send`, and tells `count` whether each webhook was delivered, refused or unanswered."""

    def __init__(self, send: SendWebhook, count: Callable[[str], None]) -> None:
        self._send, self._count = send, count

    def __call__(self, url: str, secrets: Sequence[str], *, event_id: str, body: str, at: float) -> Outcome:
        outcome = self._send(url, secrets, event_id=event_id, body=body, at=at)
        answered = "unanswered" if outcome.status_code is None else "refused"
        self._count("delivered" if outcome.is_delivered else answered)
        return outcome


class HttpWebhooks:
    """Sends to destinations that `policy` allows. Thread-safe."""

    def __init__(self, policy: EgressPolicy, network: Network | None = None) -> None:
        self.policy = policy
        self._network = network

    def __call__(self, url: str, secrets: Sequence[str], *, event_id: str, body: str, at: float) -> Outcome:
        headers = {
            "User-Agent": f"Tunery/{version('tunery')} (webhooks)",
            "Accept": "*/*",
            "Content-Type": "application/json",
            **signed_headers(secrets, event_id=event_id, at=at, body=body),
        }
        try:
            response = post(
                url,
                policy=self.policy,
                content=body.encode(),
                headers=headers,
                timeout_seconds=_TIMEOUT_SECONDS,
                max_body_bytes=_SHOWN_BYTES,
                network=self._network,
            )
        except TuneryError as error:
            return Outcome(error=error.message)
        # PostgreSQL cannot store NUL.
        text = response.body.decode(errors="replace").replace("\0", "\ufffd")
        return Outcome(status_code=response.status, response=text)
