"""Weights & Biases, through its own package."""

import os
import tempfile
from collections.abc import Mapping, Sequence

from cluster.contracts.integrations import WandbTracker
from cluster.contracts.jobs import StepMetrics
from cluster.tracking.messages import Outcome, TrackedRun
from cluster.tracking.run import TrackerError, metrics_of

START_SECONDS = 60
_TAG_LENGTH = 64


class WandbRun:
    def __init__(self, run: TrackedRun, tracker: WandbTracker) -> None:
        # The package's own crash reports would go to another host than the one that the operator named.
        os.environ["WANDB_ERROR_REPORTING"] = "false"
        for folder in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            os.environ.setdefault(folder, tempfile.gettempdir())
        import wandb

        if not os.environ.get("WANDB_API_KEY") and os.environ.get("WANDB_MODE") != "offline":
            raise TrackerError("The server has no key for it: its operator must set WANDB_API_KEY.")
        self._wandb = wandb
        options = tracker.options
        self._run = wandb.init(
            entity=options.entity,
            project=options.project,
            id=run.id,
            name=options.name or run.id,
            tags=[*_tags(run), *(options.tags or [])],
            resume="allow",
            settings=wandb.Settings(
                base_url=tracker.url,
                root_dir=tempfile.gettempdir(),
                init_timeout=START_SECONDS,
                # The run belongs to the job, not to this process: nothing of its host, its code or its output
                # is recorded.
                console="off",
                silent=True,
                program="tunery",
                save_code=False,
                disable_code=True,
                disable_git=True,
                disable_job_creation=True,
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
        # Not an argument of init, which refuses changed values when a run is resumed.
        self._run.config.update(run.config, allow_val_change=True)
        self.url = None if self._run.offline else self._run.url
        self.last_step = max(0, self._run.step - 1)

    def log(self, steps: Sequence[StepMetrics]) -> None:
        for step in steps:
            self._run.log(metrics_of(step), step=step.step)

    def summarize(self, values: Mapping[str, float | str]) -> None:
        self._run.summary.update(dict(values))

    def end(self, outcome: Outcome) -> None:
        if outcome == "interrupted":
            self._run.mark_preempting()
        code = 0 if outcome == "finished" else 1
        self._run.finish(exit_code=code)
        # Waits for the program that writes and sends what was logged.
        self._wandb.teardown(exit_code=code)


def _tags(run: TrackedRun) -> list[str]:
    """Returns the same tags that OpenAI sets, under our name. Weights & Biases refuses longer ones."""
    named = ("tunery/finetune", f"tunery/{run.base}", f"tunery/{run.id}")
    return [tag for tag in named if len(tag) <= _TAG_LENGTH]
