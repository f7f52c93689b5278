"""Ports for programs that take a while to listen on them."""

import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

_FIRST = 20_000
"""Below are the ports of Ray's workers and of well-known services."""
_LINUX_FIRST_OWN = 32_768


def free_ports(count: int) -> list[int]:
    """So many that nobody has on 127.0.0.1, and that the system gives to nobody who asks for any: one of
    those may be another connection's before Ray's dashboard comes to listen, ten seconds later."""
    num_ports = max(_first_own_port() - _FIRST, 1_000)
    # One after the other from anywhere, so that two who choose at once seldom meet.
    start = random.randrange(num_ports)
    found: list[int] = []
    with ExitStack() as stack:
        for step in range(num_ports):
            port = _FIRST + (start + step) % num_ports
            with suppress(OSError):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                return found
    raise OSError(f"fewer than {count} ports from {_FIRST} to {_FIRST + num_ports - 1} are free")


def _first_own_port() -> int:
    """Of those that the system gives away itself."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    except OSError:
        return _LINUX_FIRST_OWN
    return int(text.split()[0])
