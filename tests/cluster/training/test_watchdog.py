"""A run that hangs is noticed, and one that makes progress is left alone."""

import threading

from cluster.training.watchdog import Watchdog


def test_a_hang_is_reported_once() -> None:
    called = threading.Event()
    calls: list[int] = []

    def on_hang() -> None:
        calls.append(1)
        called.set()

    with Watchdog(0.01, on_hang) as watchdog:
        watchdog.heartbeat()
        assert called.wait(300)
    assert calls == [1]


def test_heartbeats_keep_it_quiet() -> None:
    """A heartbeat arrives before every check."""
    looks = 0

    class Beating(Watchdog):
        @property
        def _count(self) -> int:
            nonlocal looks
            looks += 1
            if looks == 20:
                seen.set()
            return looks

        @_count.setter
        def _count(self, value: int) -> None:
            pass

    seen = threading.Event()
    calls: list[int] = []
    with Beating(0.001, lambda: calls.append(1)):
        assert seen.wait(300)
    assert not calls


def test_leaving_ends_the_watch_at_once() -> None:
    with Watchdog(3600, lambda: None) as watchdog:
        pass
    assert not watchdog._thread.is_alive()
