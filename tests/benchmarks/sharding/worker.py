"""One worker of a sharded run: `python -m tests.benchmarks.sharding.worker '<task>' fsdp RANK SIZE FILE`.

Prints its memory and the losses as one line of JSON."""

import json
import sys
import threading
from functools import partial
from pathlib import Path

import torch
from torch import distributed
from transformers.utils import logging

from cluster.contracts.jobs import RunnerEvent, StepMetrics
from cluster.training.checkpoints.export import DTYPES
from cluster.training.data.batches import Batcher, pass_tokens
from cluster.training.evaluation.scores import Scorer
from cluster.training.heap import return_freed_memory
from cluster.training.loop.compute import Compute
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.loop import Learner, RunData, train
from cluster.training.loop.objectives import LanguageObjective
from cluster.training.loop.optimizer import make_optimizer
from cluster.training.loop.throughput import elements
from cluster.training.model.head import causal_model
from cluster.training.model.trainee import autocast, layers, load_trainee, trainable_parameters
from cluster.training.world import joined_world
from tests.benchmarks.training.chats import Lengths
from tests.benchmarks.training.ours import base_of, config_of, dataset_of
from tests.benchmarks.training.task import Task

CPU = torch.device("cpu")
_SECONDS = 0.01


class Watched:
    """The peak of this process's anonymous memory since the last `restart`."""

    def __init__(self) -> None:
        self.peak = self.now()
        threading.Thread(target=self._watch, daemon=True).start()

    @staticmethod
    def now() -> int:
        status = Path("/proc/self/status").read_text()
        line = next(each for each in status.splitlines() if each.startswith("RssAnon:"))
        return int(line.split()[1]) * 1024

    def restart(self) -> int:
        """Returns the peak up to now."""
        peak, self.peak = max(self.peak, self.now()), 0
        return peak

    def _watch(self) -> None:
        wait = threading.Event()
        while not wait.wait(_SECONDS):
            self.peak = max(self.peak, self.now())


def main(text: str, parallelism: str, rank: str, size: str, meeting: str) -> None:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    return_freed_memory()
    options = json.loads(text)
    task = Task(**{**options, "lengths": Lengths(**options["lengths"])})
    where = f"file://{meeting}"
    distributed.init_process_group("gloo", where, rank=int(rank), world_size=int(size))
    world, base, config = joined_world(parallelism), base_of(task), config_of(task)
    data = dataset_of(task.chats())
    # Imports that loading would otherwise do.
    import peft  # noqa: F401
    from transformers import AutoModelForCausalLM  # noqa: F401

    watched = Watched()
    started = watched.restart()
    trainee = load_trainee(Path(task.folder), base, config, CPU, data=data, total_steps=1, world=world)
    objective = LanguageObjective(trainee.model, trainee.head)
    parameters = sum(map(elements, trainee.model.parameters()))
    world.shard(objective, layers(causal_model(trainee.model)), CPU, DTYPES[base.dtype])
    loading = watched.restart() - started
    losses: list[float] = []

    def report(event: RunnerEvent) -> None:
        if isinstance(event, StepMetrics):
            losses.append(event.train_loss)

    batcher = Batcher(
        data,
        microbatch_tokens=pass_tokens(config, CPU),
        layout=trainee.layout,
        rank=world.rank,
        world_size=world.size,
    )
    learner = Learner(objective, make_optimizer(trainable_parameters(trainee.model), config))
    compute = Compute(CPU, partial(autocast, base, CPU), world)
    train(learner, RunData(batcher), config, compute, RunHooks(report))
    training = watched.restart()
    rested = watched.now()
    scorer = Scorer(objective, trainee.head, data, None, batcher, compute)
    before = scorer.before(lambda: None)
    assert before is not None
    assert scorer.after(before, lambda: None) is not None
    evaluating = watched.restart() - rested
    found = {
        "parameters": parameters,
        "losses": losses,
        "started": started,
        "loading": loading,
        "peak": max(training, rested + evaluating, started + loading),
        "evaluating": evaluating,
    }
    print(json.dumps(found))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
