"""Measure how much a flood by one tenant slows down another: `python -m tests.benchmarks.fairness`.

Starts `tunery up` with two projects. The first sends one streaming request after another, as a person would:
first alone, then while hundreds of clients of the second project send as much as the server accepts and run
into 429 responses. Prints one line of JSON on stdout. The exit status is 1 unless the 95th percentile of the
first project's latency during the flood is less than `--bar` times (by default, twice) its latency alone.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from openai import OpenAI

from tests.benchmarks.fairness.flood import Flood, command
from tests.benchmarks.load.quiet import keep_quiet
from tests.benchmarks.load.world import World, make_world
from tests.e2e.server import Tunery, running

_ROOT = Path(__file__).parents[3]
_WARMUP_SHARE = 0.1
"""Requests that warm up and are not counted, as a share of those that are."""
_FILL_SECONDS = 60.0


def main() -> None:
    arguments = _arguments()
    keep_quiet()
    with tempfile.TemporaryDirectory(prefix="bench-fairness-") as name:
        world = make_world(Path(name), num_models=4, num_projects=2)
        with running(world.folder) as tunery:
            alone = _latencies(tunery, world, arguments)
            with _flood(tunery, world, arguments) as counts:
                beside = _latencies(tunery, world, arguments)
    result = _result(alone, beside, counts)
    print(json.dumps(result))
    sys.exit(result["p95_ratio"] >= arguments.bar)


def _latencies(tunery: Tunery, world: World, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds to the first chunk and to the end of each request, under `first` and `whole`."""
    model = world.models[0]
    latencies: dict[str, list[float]] = {"first": [], "whole": []}
    num_warmups = max(1, round(arguments.requests * _WARMUP_SHARE))
    with OpenAI(base_url=f"{tunery.url}/v1", api_key=model.project.key, max_retries=0, timeout=300) as client:
        for _ in range(num_warmups + arguments.requests):
            began = time.monotonic()
            first = None
            chunks = client.completions.create(
                model=model.name,
                prompt="Once there was a",
                max_tokens=arguments.max_tokens,
                temperature=0,
                logit_bias={"1": -100},  # no end of text: all answers have the same length
                stream=True,
            )
            for _ in chunks:
                first = first or time.monotonic() - began
            latencies["first"].append(first or 0.0)
            latencies["whole"].append(time.monotonic() - began)
    return {name: values[num_warmups:] for name, values in latencies.items()}


@contextmanager
def _flood(tunery: Tunery, world: World, arguments: argparse.Namespace) -> Iterator[Counter[str]]:
    """Floods the server with the second project's requests.

    The block starts when the first request is refused, because the queue is full then. The counts include
    the time before that and are complete after the block.
    """
    flood_models = [model for model in world.models if model.project == world.projects[1]]
    flood = Flood(
        url=tunery.url,
        key=flood_models[0].project.key,
        models=[model.name for model in flood_models],
        clients=arguments.clients,
        max_tokens=arguments.flood_tokens,
    )
    counts: Counter[str] = Counter()
    process = subprocess.Popen(
        command(flood), cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = time.monotonic() + _FILL_SECONDS
        began = time.monotonic()
        for line in process.stdout:
            counts.update(json.loads(line))
            if "429" in counts:
                break
            assert time.monotonic() < deadline, "no request of the flood was refused: use more --clients"
        yield counts
        counts["seconds"] = round(time.monotonic() - began)
        process.stdin.close()
        for line in process.stdout:
            counts.update(json.loads(line))
    finally:
        process.kill()
        process.wait()


def _result(
    alone: dict[str, list[float]], beside: dict[str, list[float]], counts: Counter[str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in ("whole", "first"):
        for when, seconds in (("alone", alone[name]), ("beside", beside[name])):
            p50, p95 = np.percentile(seconds, [50, 95])
            result[f"{name}_{when}_ms"] = {"p50": round(p50 * 1000), "p95": round(p95 * 1000)}
    ratio = float(np.percentile(beside["whole"], 95) / np.percentile(alone["whole"], 95))
    return {"p95_ratio": round(ratio, 3), **result, "flood": dict(counts)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fairness", description=__doc__)
    parser.add_argument("--bar", type=float, default=2.0, help="the ratio of the latencies must be less")
    parser.add_argument("--requests", type=int, default=100, help="requests of the other project")
    parser.add_argument("--max-tokens", type=int, default=64, help="tokens of each of these requests")
    parser.add_argument("--clients", type=int, default=400, help="clients of the project that floods")
    parser.add_argument("--flood-tokens", type=int, default=128, help="tokens of each request of the flood")
    return parser.parse_args()


if __name__ == "__main__":
    main()
