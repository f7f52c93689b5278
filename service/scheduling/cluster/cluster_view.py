"""Queries Ray's nodes over HTTP, through the Serve application that also handles claims of devices.

Ray's own HTTP API does not say what is free on a node."""

from collections.abc import Sequence

import httpx2

from cluster.contracts.errors import Overloaded, Unavailable
from cluster.contracts.ray_nodes import ClusterReport, ClusterRequest, WaitingGang
from cluster.wire.codec import decode_answer, decode_refusal


class HttpClusterView:
    """Thread-safe. Close it after use."""

    def __init__(self, url: str, token: str, *, timeout_seconds: float = 5.0) -> None:
        """The time-out is short because the scheduler makes this call between two rounds."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False)

    def look(self, waiting: Sequence[WaitingGang]) -> ClusterReport:
        request = ClusterRequest(waiting=tuple(waiting))
        try:
            response = self._http.post("/engine/cluster", content=request.model_dump_json())
        except httpx2.TransportError as error:
            message = f"The cluster does not answer: {error!r}."
            raise Unavailable(message, code="cluster_unavailable") from error
        if response.is_success:
            return decode_answer(ClusterReport, response.content)
        after = response.headers.get("retry-after")
        refusal = decode_refusal(response.status_code, after, response.content)
        if isinstance(refusal, Unavailable | Overloaded):
            raise refusal
        # For example, a replica of an earlier release does not know the route.
        message = f"The cluster does not say which nodes it has: {refusal.message}"
        raise Unavailable(message, code="cluster_unavailable") from refusal

    def close(self) -> None:
        self._http.close()
