"""One worker of a run whose memory is watched: `python -m tests.benchmarks.plans.worker SPEC FOLDER RANK`.

Trains as an attempt does, without checkpoints, and prints its memory as one line of JSON."""

import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import torch
from torch import distributed
from transformers.utils import logging as transformers_logging

from cluster.contracts.jobs import JobSpec, RunnerEvent, StepMetrics
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.node_copies import NodeCopies
from cluster.training.checkpoints.writer import CheckpointWriter
from cluster.training.data.datasets import load_datasets
from cluster.training.data.tokenizer import load_tokenizer
from cluster.training.heap import return_freed_memory
from cluster.training.loop.hooks import RunHooks
from cluster.training.run import Run
from cluster.training.starting_point import find_starting_point
from cluster.training.world import joined_world

_SECONDS = 0.01


class Watched:
    """The peak of this process's anonymous memory, in bytes."""

    def __init__(self) -> None:
        self._peak = self.now()
        threading.Thread(target=self._watch, daemon=True).start()

    @staticmethod
    def now() -> int:
        """What `Anonymous` in `/proc/self/smaps_rollup` is too, but faster to read."""
        status = Path("/proc/self/status").read_text()
        line = next(each for each in status.splitlines() if each.startswith("RssAnon:"))
        return int(line.split()[1]) * 1024

    def restart(self) -> int:
        """Returns the peak up to now."""
        peak, self._peak = max(self._peak, self.now()), 0
        return peak

    def _watch(self) -> None:
        wait = threading.Event()
        while not wait.wait(_SECONDS):
            self._peak = max(self._peak, self.now())


def main(spec_file: str, name: str, rank: str) -> None:
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(1)
    # As a worker on Ray does.
    return_freed_memory()
    spec, folder = JobSpec.model_validate_json(Path(spec_file).read_bytes()), Path(name)
    size = spec.config.num_workers
    if size > 1:
        meeting = f"file://{folder}/meeting"
        distributed.init_process_group("gloo", meeting, rank=int(rank), world_size=size)
    world = joined_world(spec.config.parallelism)
    losses: list[float] = []

    def report(event: RunnerEvent) -> None:
        if isinstance(event, StepMetrics):
            losses.append(event.train_loss)

    hooks, store = RunHooks(report, lambda: "continue"), LocalStore(folder / "store")
    scratch = folder / f"scratch-{rank}"
    scratch.mkdir()
    watched = Watched()
    data = load_datasets(spec, store, load_tokenizer(spec.base), scratch)
    start = find_starting_point(spec, NodeCopies(store, scratch), data.training)
    run = Run(spec, data, start, torch.device("cpu"), world, hooks)
    loading = watched.restart()
    run.train(_without_checkpoints())
    print(json.dumps({"loading": loading, "training": watched.restart(), "losses": losses}))


def _without_checkpoints() -> Any:
    writer = create_autospec(CheckpointWriter, instance=True, stored={})
    writer.is_busy.return_value = False
    return writer


if __name__ == "__main__":
    main(*sys.argv[1:])
