"""Keeps Serve's own servers on the machine where the whole cluster is on it."""

from ipaddress import ip_address

from ray.serve._private import replica
from ray.util import get_node_ip_address

_add_port = replica.add_port_to_grpc_server


def listen_where_the_node_is() -> None:
    """For the beginning of every replica. Serve has replicas call one another over a server that it binds to
    all interfaces, once a replica's own class is made. On a node whose address is a loopback one it is bound
    there."""
    address = ip_address(get_node_ip_address())
    if address.is_loopback:
        host = f"[{address}]" if address.version == 6 else str(address)
        replica.add_port_to_grpc_server = lambda server, place: _add_port(server, place.replace("[::]", host))
