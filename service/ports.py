"""Free ports for programs that start listening on them only after a while."""

import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

_FIRST = 20_000
"""Lower ports are used by Ray's workers and by well-known services."""
_LINUX_FIRST_OWN = 32_768


def free_ports(count: int) -> list[int]:
    """`count` free ports of 127.0.0.1 below the system's ephemeral range. An ephemeral port could be taken by
    another connection in the ten seconds before Ray's dashboard listens on it."""
    num_ports = max(_first_own_port() - _FIRST, 1_000)
    # Starts at a random port, so that two processes that choose at the same time rarely collide.
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
    """The first port of the system's ephemeral range."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    except OSError:
        return _LINUX_FIRST_OWN
    return int(text.split()[0])
