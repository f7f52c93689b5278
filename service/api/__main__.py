"""Runs the API under uvicorn until SIGTERM or SIGINT: `python -m service.api --host H --port N`.

Runners call the API on a separate port (`--internal-host`, `--internal-port`) that only the cluster needs to
reach."""

import argparse
import logging
import resource
import socket
import sys
from dataclasses import replace

import uvicorn

from cluster.tracing import configure_tracing, stop_tracing
from cluster.wire.guarded import ConnectionLimits, GuardedHttp
from service.api.app import create_app
from service.api.http.by_port import ByPort
from service.api.http.draining import DrainingServer
from service.api.routes.internal import create_internal_app
from service.logs import configure_service_logs
from service.settings import Settings

log = logging.getLogger("service.api")

_BACKLOG = 2048
_OTHER_FILES = 256
"""Open files that are not client connections."""
_CANNOT_START = 3
"""uvicorn's exit code for a failed start."""


def main() -> None:
    options = _options()
    configure_service_logs(sys.stderr)
    configure_tracing("api")
    settings = Settings()
    try:
        public = _listen(options.host, options.port)
        internal = _listen(options.internal_host, options.internal_port)
    except OSError as error:
        log.error("cannot listen: %s", error)
        sys.exit(_CANNOT_START)
    # Projects have shares of the connections that there are.
    connections = _connections(settings.max_connections)
    app = create_app(settings.model_copy(update={"max_connections": connections}))
    limits = replace(ConnectionLimits(), connections=connections)
    config = uvicorn.Config(
        ByPort(app, {internal.getsockname()[1]: create_internal_app(app.state)}),
        interface="asgi3",
        http=GuardedHttp.limited_to(limits),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # From others, a caller could put any address, or any text, into the audit log.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
        timeout_keep_alive=round(limits.idle_seconds),
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    server = DrainingServer(config, app.state.draining, notice_seconds=settings.drain_notice_seconds)
    server.run([public, internal])
    stop_tracing()
    if not server.started:
        sys.exit(_CANNOT_START)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--internal-host", default="127.0.0.1")
    parser.add_argument("--internal-port", type=int, default=8001)
    return parser.parse_args()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _connections(wanted: int) -> int:
    """Returns how many connections the process can hold open. Raises the soft limit on open files first."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard >= wanted + _OTHER_FILES:
        return wanted
    log.warning("at most %d files may be open: accepting fewer than %d connections", hard, wanted)
    return max(1, hard - _OTHER_FILES)


if __name__ == "__main__":
    main()
