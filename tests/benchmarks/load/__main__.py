"""Measure what many event streams and hostile clients cost the API: `python -m tests.benchmarks.load`.

Starts the API as a process, with SQLite and without a cluster. First opens a thousand streams of job events
and sends plain GET requests at the same time. Then runs one attack after another, each on a fresh process,
and reports its memory before, during and after the attack, and the slowest GET request. Everything is bounded
in time and size. Prints one line of JSON on stdout. The exit status is 0 if

- the 99th percentile of the GET requests during the streams is below `--bar-ms`,
- no stream was cut,
- no attack took more memory than `--bar-mib`, not counting bodies sent with a valid key, and
- the API closed every half-open and idle connection within `--patience` seconds.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.load.api_process import Api, running_api
from tests.benchmarks.load.attacks import Size, attacks
from tests.benchmarks.load.event_streams import Streams, hold_streams
from tests.benchmarks.load.probes import Observed, observe

_PLAIN_GET = "/v1/models"


def main() -> None:
    arguments = _arguments()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-load-") as name:
        with running_api(Path(name) / "streams", num_jobs=arguments.streams) as api:
            result: dict[str, Any] = {"streams": _measure_streams(api, arguments)}
        _report(result["streams"])
        for attack, run in attacks(_size(arguments)).items():
            with running_api(Path(name) / attack) as api:
                began = time.monotonic()
                with observe(api, "/healthz") as seen:
                    outcome = run(api)
                    seconds = time.monotonic() - began
            result[attack] = _summary(seen) | {"seconds": round(seconds, 1)} | outcome
            _report({attack: result[attack]})
    print(json.dumps(result))
    sys.exit(not _is_good(result, arguments))


def _measure_streams(api: Api, arguments: argparse.Namespace) -> dict[str, Any]:
    with observe(api, _PLAIN_GET) as alone:
        time.sleep(arguments.seconds / 4)
    streams, beside = asyncio.run(_beside_streams(api, arguments))
    return {
        "open": streams.open,
        "cut": streams.cut,
        "event_delay_p99_ms": _percentile(streams.delays, 99),
        "get_alone_p99_ms": _percentile(alone.get_seconds, 99),
        "get_p50_ms": _percentile(beside.get_seconds, 50),
        "get_p99_ms": _percentile(beside.get_seconds, 99),
        "mib_before": round(alone.mib_before),
        "mib_peak": round(beside.mib_peak),
    }


async def _beside_streams(api: Api, arguments: argparse.Namespace) -> tuple[Streams, Observed]:
    all_open, is_over = asyncio.Event(), asyncio.Event()
    holding = asyncio.create_task(hold_streams(api, arguments.streams, all_open, is_over))
    opening = asyncio.create_task(all_open.wait())
    await asyncio.wait({holding, opening}, return_when=asyncio.FIRST_COMPLETED)
    watching = observe(api, _PLAIN_GET)
    seen = watching.__enter__()
    try:
        await asyncio.sleep(arguments.seconds)
    finally:
        await asyncio.to_thread(watching.__exit__, None, None, None)
    is_over.set()
    return await holding, seen


def _summary(seen: Observed) -> dict[str, Any]:
    return {
        "mib_before": round(seen.mib_before),
        "mib_peak": round(seen.mib_peak),
        "mib_after": round(seen.mib_after),
        "get_slowest_ms": _percentile(seen.get_seconds, 100),
    }


def _percentile(seconds: list[float], percent: float) -> float | None:
    return round(1000 * float(np.percentile(seconds, percent)), 1) if seconds else None


def _is_good(result: dict[str, Any], arguments: argparse.Namespace) -> bool:
    streams = result["streams"]
    ended = result["connections"]["ended"]
    # A client with a valid key may send a body, which the API keeps in memory until it is complete.
    sent = {"json_with_key": arguments.json_bodies * arguments.json_mib}
    return (
        streams["get_p99_ms"] < arguments.bar_ms
        and not streams["cut"]
        and (ended.get("half_open"), ended.get("idle")) == (arguments.half_open, arguments.idle)
        and all(
            attack["mib_peak"] - attack["mib_before"] < arguments.bar_mib + sent.get(name, 0)
            for name, attack in result.items()
            if name != "streams"
        )
    )


def _size(arguments: argparse.Namespace) -> Size:
    return Size(
        bodies=arguments.bodies,
        body_mib=arguments.body_mib,
        json_bodies=arguments.json_bodies,
        json_mib=arguments.json_mib,
        heads_mib=arguments.heads_mib,
        header_mib=arguments.header_mib,
        half_open=arguments.half_open,
        idle=arguments.idle,
        hold_seconds=arguments.patience,
    )


def _report(result: dict[str, Any]) -> None:
    print(json.dumps(result), file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.load", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000, help="event streams at once")
    parser.add_argument("--seconds", type=float, default=20, help="how long they are held open")
    parser.add_argument("--bodies", type=int, default=20, help="bodies sent at once without a token")
    parser.add_argument("--body-mib", type=int, default=31, help="size of each")
    parser.add_argument("--json-bodies", type=int, default=8, help="bodies with invalid values, sent at once")
    parser.add_argument("--json-mib", type=int, default=24, help="size of each")
    parser.add_argument("--heads-mib", type=int, default=193, help="size of all headers of one request")
    parser.add_argument("--header-mib", type=int, default=100, help="size of one header")
    parser.add_argument("--half-open", type=int, default=400, help="connections that send half a head")
    parser.add_argument("--idle", type=int, default=100, help="connections left open after one request")
    parser.add_argument("--patience", type=float, default=70, help="seconds for the API to close them")
    parser.add_argument("--bar-ms", type=float, default=250, help="limit of the GET requests' p99")
    parser.add_argument("--bar-mib", type=float, default=100, help="limit of an attack's memory")
    return parser.parse_args()


if __name__ == "__main__":
    main()
