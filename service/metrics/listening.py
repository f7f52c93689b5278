"""The listener of `/metrics`, in threads of its own: a scrape reads the database, and must not wait for
requests nor let them wait."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server


@contextmanager
def serving_metrics(registry: CollectorRegistry, host: str, port: int | None) -> Iterator[None]:
    """Answers `GET /metrics` at this address within the context, without a key: whoever reaches the port may
    read. None listens nowhere. Raises OSError if the address cannot be had."""
    if port is None:
        yield
        return
    # Another series for each one, with the time of its first use. Nothing of ours needs it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    server, thread = start_http_server(port, host, registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
