"""Steps of a full fine-tune while its checkpoints are uploaded at 5 MB/s, beside steps without an upload.

Prints a JSON line.
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions, resolve
from cluster.contracts.jobs import JobSpec, RunnerEvent, StepMetrics
from cluster.storage.files import CHUNK_BYTES, unobserved
from cluster.storage.keys import file_key
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from cluster.training.attempt import run_attempt
from cluster.training.loop.hooks import RunHooks
from tests.tiny_base import make_tiny_base


class SlowStore(LocalStore):
    """Takes time for what it stores, as a network would, and no CPU."""

    def __init__(self, root: Path, bytes_per_second: float) -> None:
        super().__init__(root)
        self._rate = bytes_per_second
        self.busy = 0

    def upload(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        self.busy += 1
        try:
            return super().upload(key, path, on_progress=lambda: self._wait(on_progress))
        finally:
            self.busy -= 1

    def _wait(self, on_progress: Callable[[], None]) -> None:
        time.sleep(CHUNK_BYTES / self._rate)
        on_progress()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb-per-second", type=float, default=5.0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=120)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(_measure(Path(name), options)), flush=True)


def _measure(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    store = SlowStore(folder / "store", options.mb_per_second * 1e6)
    during: list[float] = []
    without: list[float] = []
    last = time.monotonic()
    was_busy = False

    def report(event: RunnerEvent) -> None:
        nonlocal last, was_busy
        if isinstance(event, StepMetrics):
            at, is_busy = time.monotonic(), store.busy > 0
            if is_busy == was_busy:
                (during if is_busy else without).append(at - last)
            last, was_busy = at, is_busy

    run_attempt(_spec(folder, store, options), store, RunHooks(report), device=torch.device("cpu"))
    stored = sum(info.bytes for info in store.list("jobs/"))
    medians = statistics.median(during), statistics.median(without)
    return {
        "stored_mb": round(stored / 1e6, 1),
        "mb_per_second": options.mb_per_second,
        "steps_during_uploads": len(during),
        "steps_without": len(without),
        "median_during_ms": round(medians[0] * 1000, 1),
        "median_without_ms": round(medians[1] * 1000, 1),
        "ratio": round(medians[0] / medians[1], 3),
    }


def _spec(folder: Path, store: LocalStore, options: argparse.Namespace) -> JobSpec:
    base = make_tiny_base(folder / "base", hidden=128)
    text = "the invoice of this month " * 10
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    body = "\n".join([json.dumps({"messages": messages})] * options.rows).encode()
    key = file_key("file-1")
    store.put(key, body)
    _, config = resolve(
        Hyperparameters(batch_size=2, n_epochs=options.epochs),
        TrainingOptions(type="full"),
        base,
        n_examples=options.rows,
        seed=1,
        method="supervised",
    )
    return JobSpec(
        job_id="ftjob-bench",
        attempt=1,
        attempt_token="t",
        service_url="",
        base=base,
        config=config,
        device="cpu",
        training_key=key,
        training_sha256=hashlib.sha256(body).hexdigest(),
    )


if __name__ == "__main__":
    main()
