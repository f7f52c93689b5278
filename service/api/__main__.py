"""`python -m service.api --host H --port N`: the API under uvicorn, until SIGTERM or SIGINT."""

import argparse
import logging
import sys

import uvicorn

from cluster.serving.corked import CorkedHttp
from service.api.app import create_app
from service.api.draining import DrainingServer
from service.settings import Settings

_KEEP_ALIVE_SECONDS = 75
"""Longer than clients and proxies keep an idle connection (5 s and 60 s are usual): closed here first, it
could be one on which a request is just coming."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m service.api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        http=CorkedHttp,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    server = DrainingServer(config, app.state.draining, notice_seconds=settings.drain_notice_seconds)
    server.run()
    if not server.started:
        sys.exit(3)  # uvicorn's own number for what could not start


if __name__ == "__main__":
    main()
