from contextlib import closing

import pytest

from cluster.contracts.errors import Overloaded, Unavailable
from cluster.contracts.ray_nodes import ClusterReport, RayNode, WaitingGang
from service.scheduling.cluster.cluster_view import HttpClusterView
from tests.service.scheduling.http_double import http_double

REPORT = ClusterReport(nodes=(RayNode(node_id="a", gpus=8, free_gpus=3),), worker_cpus=4)
GANG = WaitingGang(name="ftjob-1", device="cuda", workers=8, workers_per_node=8, labels={"pool": "gpu"})


def test_a_look_names_the_gangs_that_wait_and_returns_the_nodes() -> None:
    with http_double() as server, closing(HttpClusterView(server.url, "secret")) as view:
        server.answer = lambda _: (200, REPORT.model_dump_json().encode())
        assert view.look([GANG]) == REPORT
        (request,) = server.requests
    assert (request.method, request.path, request.token) == ("POST", "/engine/cluster", "Bearer secret")
    assert request.body == {"waiting": [GANG.model_dump(mode="json")]}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b"backpressure", Overloaded),
        (404, b"Path '/engine/cluster' not found.", Unavailable),
        (404, b'{"error": "NotFound", "message": "No route POST /engine/cluster."}', Unavailable),
        (200, b"{}", Unavailable),
        (0, b"", Unavailable),
    ],
)
def test_whatever_else_is_answered_the_look_is_to_be_repeated(
    status: int, body: bytes, kind: type[Exception]
) -> None:
    with http_double() as server, closing(HttpClusterView(server.url, "secret")) as view:
        server.answer = lambda _: (status, body)
        with pytest.raises(kind):
            view.look([])
