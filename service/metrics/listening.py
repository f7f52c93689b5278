"""Listens for `/metrics` in its own threads, because a scrape reads the database, and neither it nor requests
must wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server


@contextmanager
def serving_metrics(registry: CollectorRegistry, host: str, port: int | None) -> Iterator[None]:
    """Answers `GET /metrics` at this address within the context, without a key: anyone who reaches the port
    may read. With the port None, does not listen. Raises OSError if the address is not available."""
    if port is None:
        yield
        return
    # Creates another series for each metric, with the time of its first use. Tunery does not need them.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    server, thread = start_http_server(port, host, registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
