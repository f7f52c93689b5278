"""The addresses of the servers that Serve's replicas use to call each other."""

import asyncio

import psutil
import pytest
from ray._private.grpc_utils import create_grpc_server_with_interceptors
from ray.serve._private import replica

from cluster.serving.deployment import loopback


def address_of_a_new_replica() -> str:
    """As Serve binds it; of the socket that listens then."""

    async def bound() -> str:
        server = create_grpc_server_with_interceptors(asynchronous=True, options=[])
        port = replica.add_port_to_grpc_server(server, "[::]:0")
        await server.start()
        sockets = psutil.Process().net_connections(kind="inet")
        (found,) = {one.laddr.ip for one in sockets if one.laddr.port == port and one.status == "LISTEN"}
        await server.stop(0)
        return found

    return asyncio.run(bound())


@pytest.mark.parametrize(("node", "is_everywhere"), [("127.0.0.1", False), ("10.1.2.3", True)])
def test_a_replica_listens_on_loopback_where_its_node_is(
    monkeypatch: pytest.MonkeyPatch, node: str, is_everywhere: bool
) -> None:
    monkeypatch.setattr(replica, "add_port_to_grpc_server", replica.add_port_to_grpc_server)
    monkeypatch.setattr(loopback, "get_node_ip_address", lambda: node)
    assert address_of_a_new_replica() in {"::", "0.0.0.0"}
    loopback.listen_where_the_node_is()
    loopback.listen_where_the_node_is()
    assert (address_of_a_new_replica() in {"::", "0.0.0.0"}) is is_everywhere
