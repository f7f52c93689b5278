"""What many streams and hostile clients cost the API: `python -m tests.benchmarks.load`.

Starts the API as a process, over SQLite and without a cluster. First a thousand streams of jobs' events, and
plain GETs beside them; then one attack after another, each on a fresh process, with its memory before, during
and after, and how long the slowest GET took meanwhile. All is bounded and ends by itself. Ends with one line
of JSON on stdout, and with status 1 unless the 99th percentile of the GETs beside the streams is below the
bar, no stream was cut, no attack took more memory than the bar (beside the bodies of who has a key), and no
connection outlived its limits.
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
from tests.benchmarks.load.probes import Observed, observed

_PLAIN_GET = "/v1/models"


def main() -> None:
    asked = _arguments()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-load-") as name:
        with running_api(Path(name) / "streams", num_jobs=asked.streams) as api:
            result: dict[str, Any] = {"streams": _streamed(api, asked)}
        say(result["streams"])
        for attack, run in attacks(_size(asked)).items():
            with running_api(Path(name) / attack) as api:
                began = time.monotonic()
                with observed(api, "/healthz") as seen:
                    outcome = run(api)
                    seconds = time.monotonic() - began
            result[attack] = _described(seen) | {"seconds": round(seconds, 1)} | outcome
            say({attack: result[attack]})
    print(json.dumps(result))
    sys.exit(not _is_good(result, asked))


def _streamed(api: Api, asked: argparse.Namespace) -> dict[str, Any]:
    with observed(api, _PLAIN_GET) as alone:
        time.sleep(asked.seconds / 4)
    streams, beside = asyncio.run(_beside_streams(api, asked))
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


async def _beside_streams(api: Api, asked: argparse.Namespace) -> tuple[Streams, Observed]:
    is_open, is_over = asyncio.Event(), asyncio.Event()
    holding = asyncio.create_task(hold_streams(api, asked.streams, is_open, is_over))
    opening = asyncio.create_task(is_open.wait())
    await asyncio.wait({holding, opening}, return_when=asyncio.FIRST_COMPLETED)
    watching = observed(api, _PLAIN_GET)
    seen = watching.__enter__()
    try:
        await asyncio.sleep(asked.seconds)
    finally:
        await asyncio.to_thread(watching.__exit__, None, None, None)
    is_over.set()
    return await holding, seen


def _described(seen: Observed) -> dict[str, Any]:
    return {
        "mib_before": round(seen.mib_before),
        "mib_peak": round(seen.mib_peak),
        "mib_after": round(seen.mib_after),
        "get_slowest_ms": _percentile(seen.get_seconds, 100),
    }


def _percentile(seconds: list[float], percent: float) -> float | None:
    return round(1000 * float(np.percentile(seconds, percent)), 1) if seconds else None


def _is_good(result: dict[str, Any], asked: argparse.Namespace) -> bool:
    streams = result["streams"]
    ended = result["connections"]["ended"]
    # Whoever has a key may send a body, which is held until it is whole.
    sent = {"json_with_key": asked.json_bodies * asked.json_mib}
    return (
        streams["get_p99_ms"] < asked.bar_ms
        and not streams["cut"]
        and (ended.get("half_open"), ended.get("idle")) == (asked.half_open, asked.idle)
        and all(
            attack["mib_peak"] - attack["mib_before"] < asked.bar_mib + sent.get(name, 0)
            for name, attack in result.items()
            if name != "streams"
        )
    )


def _size(asked: argparse.Namespace) -> Size:
    return Size(
        bodies=asked.bodies,
        body_mib=asked.body_mib,
        json_bodies=asked.json_bodies,
        json_mib=asked.json_mib,
        heads_mib=asked.heads_mib,
        header_mib=asked.header_mib,
        half_open=asked.half_open,
        idle=asked.idle,
        patience_seconds=asked.patience,
    )


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.load", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000, help="of events, at once")
    parser.add_argument("--seconds", type=float, default=20, help="that they are held")
    parser.add_argument("--bodies", type=int, default=20, help="sent at once, without a token")
    parser.add_argument("--body-mib", type=int, default=31)
    parser.add_argument("--json-bodies", type=int, default=8, help="of values that are wrong, sent at once")
    parser.add_argument("--json-mib", type=int, default=24)
    parser.add_argument("--heads-mib", type=int, default=193, help="of headers on one connection")
    parser.add_argument("--header-mib", type=int, default=100, help="of one header")
    parser.add_argument("--half-open", type=int, default=400, help="connections")
    parser.add_argument("--idle", type=int, default=100, help="connections")
    parser.add_argument("--patience", type=float, default=70, help="seconds that they are held")
    parser.add_argument("--bar-ms", type=float, default=250)
    parser.add_argument("--bar-mib", type=float, default=100)
    return parser.parse_args()


if __name__ == "__main__":
    main()
