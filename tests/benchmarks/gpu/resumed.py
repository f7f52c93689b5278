"""A run that is paused, stored and resumed takes the steps that it would have taken without the pause."""

import hashlib
import json

import torch

from cluster.contracts.bases import BaseSpec
from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions, TrainingType, resolve
from cluster.contracts.jobs import Command, JobSpec, ResumeStateSaved, RunnerEvent, StepMetrics
from cluster.storage.keys import file_key
from cluster.storage.local import LocalStore
from cluster.training.attempt import run_attempt
from cluster.training.loop.hooks import RunHooks
from tests.benchmarks.gpu.sizes import Finding, Findings, Setting, rounded

_EXAMPLES, _BATCH, _PAUSED_AFTER = 48, 8, 3
_TOLERANCE = 2e-3
"""Of a loss. FlashAttention adds up gradients in an order that differs from run to run."""


def run(setting: Setting) -> Findings:
    base = setting.base("little")
    kinds: tuple[TrainingType, ...] = ("lora", "full")
    for kind in kinds:
        folder = setting.work / f"resumed-{kind}"
        store = LocalStore(folder)
        spec = _spec(base, store, kind, setting.device)
        whole, _ = _losses(spec, store, setting.device)
        first, state = _losses(_attempt(spec, 2), store, setting.device, pause_after=_PAUSED_AFTER)
        second, _ = _losses(_attempt(spec, 3, resume_from=state), store, setting.device)
        worst = max(abs(a - b) / a for a, b in zip(whole, first + second, strict=True))
        is_good = worst <= (0 if setting.device.type == "cpu" else _TOLERANCE)
        yield Finding(kind, is_good, {"steps": len(whole), "worst_relative_difference": rounded(worst)})


def _spec(base: BaseSpec, store: LocalStore, kind: TrainingType, device: torch.device) -> JobSpec:
    rows = "".join(json.dumps(_row(number)) + "\n" for number in range(_EXAMPLES)).encode()
    key = file_key("file-a")
    store.put(key, rows)
    requested = Hyperparameters(batch_size=_BATCH, n_epochs=1)
    _, config = resolve(requested, TrainingOptions(type=kind), base, n_examples=_EXAMPLES, seed=0)
    return JobSpec.model_validate(
        {
            "job_id": "ftjob-bench",
            "device": device.type,
            "attempt": 1,
            "attempt_token": "none",
            "service_url": "http://127.0.0.1:1",
            "base": base,
            "config": config,
            "training_key": key,
            "training_sha256": hashlib.sha256(rows).hexdigest(),
        }
    )


def _row(number: int) -> dict[str, object]:
    answer = "The quick brown fox. " * (1 + number % 7) + str(number)
    return {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": answer}]}


def _attempt(spec: JobSpec, attempt: int, *, resume_from: str | None = None) -> JobSpec:
    return spec.model_copy(update={"attempt": attempt, "resume_from": resume_from})


def _losses(
    spec: JobSpec, store: LocalStore, device: torch.device, *, pause_after: int | None = None
) -> tuple[list[float], str | None]:
    """The losses of an attempt's steps, and the manifest's key of the last state that it stored."""
    losses: list[float] = []
    states: list[str] = []

    def report(event: RunnerEvent) -> None:
        if isinstance(event, StepMetrics):
            losses.append(event.train_loss)
        elif isinstance(event, ResumeStateSaved):
            states.append(event.manifest_key)

    def command() -> Command:
        return "pause" if pause_after is not None and len(losses) == pause_after - 1 else "continue"

    run_attempt(spec, store, RunHooks(report, command), device=device)
    return losses, states[-1] if states else None
