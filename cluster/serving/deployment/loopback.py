"""Binds Serve's internal servers to loopback in a cluster of one machine."""

from ipaddress import ip_address

from ray.serve._private import replica
from ray.util import get_node_ip_address

_add_port = replica.add_port_to_grpc_server


def listen_where_the_node_is() -> None:
    """Binds the gRPC server that Serve starts in each replica, for calls between replicas, to the loopback
    address if that is the node's address; otherwise to all interfaces. Call this first in every replica's
    constructor: Serve starts the server after that."""
    address = ip_address(get_node_ip_address())
    if address.is_loopback:
        host = f"[{address}]" if address.version == 6 else str(address)
        replica.add_port_to_grpc_server = lambda server, place: _add_port(server, place.replace("[::]", host))
