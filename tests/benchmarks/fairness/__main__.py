"""What a tenant feels of another one that floods: `python -m tests.benchmarks.fairness`.

Starts `tunery up` with two projects. One asks as a person does, one stream after another, first alone and
then beside hundreds of clients of the other, who take all that they are given and run into 429. Ends with one
line of JSON on stdout, and with status 1 if the 95th percentile of the first one's latency beside the flood
is not less than twice what it is alone.
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
_WARMING_SHARE = 0.1
"""Of the requests that count, before them."""
_FULL_SECONDS = 60.0


def main() -> None:
    asked = _arguments()
    keep_quiet()
    with tempfile.TemporaryDirectory(prefix="bench-fairness-") as name:
        world = make_world(Path(name), num_models=4, num_projects=2)
        with running(world.folder) as tunery:
            alone = _latencies(tunery, world, asked)
            with _flooded(tunery, world, asked) as counts:
                beside = _latencies(tunery, world, asked)
    result = _result(alone, beside, counts)
    print(json.dumps(result))
    sys.exit(result["p95_ratio"] >= asked.bar)


def _latencies(tunery: Tunery, world: World, asked: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds to the first text and to the end of each request."""
    model = world.models[0]
    taken: dict[str, list[float]] = {"first": [], "whole": []}
    warming = max(1, round(asked.requests * _WARMING_SHARE))
    with OpenAI(base_url=f"{tunery.url}/v1", api_key=model.project.key, max_retries=0, timeout=300) as client:
        for _ in range(warming + asked.requests):
            began = time.monotonic()
            first = None
            chunks = client.completions.create(
                model=model.name,
                prompt="Once there was a",
                max_tokens=asked.max_tokens,
                temperature=0,
                logit_bias={"1": -100},  # every answer as long as the others
                stream=True,
            )
            for _ in chunks:
                first = first or time.monotonic() - began
            taken["first"].append(first or 0.0)
            taken["whole"].append(time.monotonic() - began)
    return {name: values[warming:] for name, values in taken.items()}


@contextmanager
def _flooded(tunery: Tunery, world: World, asked: argparse.Namespace) -> Iterator[Counter[str]]:
    """Begins once the flood is refused for the first time, so that all is full. Counts of all that came of
    it, from its first second on, are complete after the block."""
    theirs = [model for model in world.models if model.project == world.projects[1]]
    flood = Flood(
        url=tunery.url,
        key=theirs[0].project.key,
        models=[model.name for model in theirs],
        clients=asked.clients,
        max_tokens=asked.flood_tokens,
    )
    counts: Counter[str] = Counter()
    process = subprocess.Popen(
        command(flood), cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = time.monotonic() + _FULL_SECONDS
        began = time.monotonic()
        for line in process.stdout:
            counts.update(json.loads(line))
            if "429" in counts:
                break
            assert time.monotonic() < deadline, "the flood is never refused: it has too few clients"
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
        for when, taken in (("alone", alone[name]), ("beside", beside[name])):
            p50, p95 = np.percentile(taken, [50, 95])
            result[f"{name}_{when}_ms"] = {"p50": round(p50 * 1000), "p95": round(p95 * 1000)}
    ratio = float(np.percentile(beside["whole"], 95) / np.percentile(alone["whole"], 95))
    return {"p95_ratio": round(ratio, 3), **result, "flood": dict(counts)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fairness", description=__doc__)
    parser.add_argument("--bar", type=float, default=2.0, help="what the ratio must stay under")
    parser.add_argument("--requests", type=int, default=100, help="of the one that does not flood")
    parser.add_argument("--max-tokens", type=int, default=64, help="of each of them")
    parser.add_argument("--clients", type=int, default=400, help="of the one that floods")
    parser.add_argument("--flood-tokens", type=int, default=128, help="of each of theirs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
