"""`python -m service.api --host H --port N`: the API under uvicorn, until SIGTERM or SIGINT."""

import argparse
import logging

import uvicorn

from service.api.app import create_app
from service.settings import Settings

_GRACE_SECONDS = 5
"""For requests under way when the service is asked to end; streams that last longer are cut."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m service.api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvicorn.run(
        create_app(Settings()),
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


if __name__ == "__main__":
    main()
