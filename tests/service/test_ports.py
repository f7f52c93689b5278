import socket
from contextlib import ExitStack

import pytest

from service import ports
from service.ports import free_ports


def test_ports_are_different_and_can_be_listened_on() -> None:
    with ExitStack() as stack:
        found = free_ports(7)
        assert len(set(found)) == 7
        for port in found:
            stack.enter_context(socket.create_server(("127.0.0.1", port)))


def test_no_port_is_in_the_systems_ephemeral_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_first_own_port", lambda: 25_000)
    assert max(free_ports(50)) < 25_000


def test_a_taken_port_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    (taken,) = free_ports(1)
    monkeypatch.setattr(ports.random, "randrange", lambda stop: taken - ports._FIRST)
    with socket.create_server(("127.0.0.1", taken)):
        assert taken not in free_ports(1)
