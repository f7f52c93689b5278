"""A project as its owner finds it after some weeks: jobs in every state, their logs and models."""

import json
import math
import random
import time
from dataclasses import dataclass

from cluster.contracts.costs import JobCost
from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions, resolve
from cluster.contracts.jobs import JobStatus, StepMetrics, number_event
from cluster.contracts.plan import DeviceMemory, Footprint, Plan
from cluster.contracts.previews import Preview, PreviewRow, PreviewSequence, PreviewToken
from cluster.contracts.provenance import Environment, Provenance
from service.api.state import AppState
from service.db import tables
from service.db.ids import new_id
from service.db.jobs.jobs import Jobs, NewJob
from service.db.scheduler.runner_events import record_events
from service.db.transitions import NewEvent, add_events
from tests.api import BASE, LiveApi, add_admin_key
from tests.service.api.weights.stored import add_stored_model

STEPS = 120
EXAMPLES = "".join(
    json.dumps(
        {
            "messages": [
                {"role": "user", "content": f"Where is order {number}?"},
                {"role": "assistant", "content": f"Order {number} is on its way."},
            ]
        }
    )
    + "\n"
    for number in range(12)
).encode()
_MIB = 2**20
FOOTPRINT = Footprint(
    pool=Pool.model_validate({"name": "l40s", "kind": "cuda", "devices": 4, "device_bytes": "48GB"}),
    form="lora",
    device=DeviceMemory(
        weights=2300 * _MIB,
        trained_weights=42 * _MIB,
        gradients=42 * _MIB,
        optimizer=84 * _MIB,
        gathered=0,
        activations=310 * _MIB,
        head=190 * _MIB,
        runtime=620 * _MIB,
    ),
    host_bytes=4 * 2**30,
    resume_state_bytes=170 * _MIB,
    served_bytes=42 * _MIB,
)
_TEXT = (("user\nWhere is order 1?\n", False), ("assistant\n", False), ("Order 1 is on its way.\n", True))
PREVIEW = Preview(
    format="chat",
    max_length=512,
    rows=[
        PreviewRow(
            line=line,
            outcome="whole",
            problem=None,
            full_length=14,
            truncated_at=None,
            sequences=[
                PreviewSequence(
                    role="example",
                    tokens=[
                        PreviewToken(id=place, token=word, bytes=list(word.encode()), learned=is_learned)
                        for text, is_learned in _TEXT
                        for place, word in enumerate(text.replace(" ", "\0 ").split("\0"))
                    ],
                )
            ],
        )
        for line in (1, 2, 3)
    ],
    has_more=True,
)
HOSTILE = '<img src=x onerror="document.title=1">'
"""What a user may call a thing: it must appear as text."""


@dataclass(frozen=True)
class Seeded:
    admin_key: str
    file: str
    succeeded: str
    """A job of two attempts."""
    running: str
    queued: str
    paused: str
    hostile: str
    """It failed with HOSTILE as the reason."""
    model: str
    checkpoint: str


def seed(live: LiveApi) -> Seeded:
    state, project = live.state, live.project
    live.engine.pieces = ["Order", " 7", " is", " on", " its", " way", "."]
    live.engine.preview = PREVIEW
    client = live.openai()
    file = client.files.create(file=("orders.jsonl", EXAMPLES), purpose="fine-tune").id
    client.files.create(file=(f"{HOSTILE}.jsonl", EXAMPLES), purpose="fine-tune")
    for night in range(30):
        ends = JobStatus.CANCELLED if night % 7 == 3 else JobStatus.SUCCEEDED
        _job(state, live, file, f"nightly-{night + 1}", ends, age=1440 * (31 - night))
    hostile = _job(state, live, file, "nightly-0", JobStatus.FAILED, age=1440 * 32, error=HOSTILE)
    too_long = "Line 7 has 1204 tokens; at most 512 are allowed."
    _job(state, live, file, "too-long", JobStatus.FAILED, age=900, error=too_long)
    succeeded = _job(state, live, file, "orders", JobStatus.SUCCEEDED, age=600)
    paused = _job(state, live, file, "tone", JobStatus.PAUSED, age=500)
    running = _job(state, live, file, "support", JobStatus.RUNNING, age=120)
    queued = _job(state, live, file, "invoices", JobStatus.QUEUED, age=60)
    for job, steps, ends in ((succeeded, STEPS, (70, STEPS)), (paused, 30, (30,)), (running, 48, (48,))):
        take_steps(state, job, 1, steps, ends)
    model, checkpoint = _publish(state, succeeded)
    client.post(f"/models/{model}/aliases", body={"alias": "orders@prod"}, cast_to=object)
    return Seeded(
        admin_key=add_admin_key(state.database, project.tenant),
        file=file,
        succeeded=succeeded,
        running=running,
        queued=queued,
        paused=paused,
        hostile=hostile,
        model=model,
        checkpoint=checkpoint,
    )


def take_steps(state: AppState, job_id: str, first: int, last: int, attempts: tuple[int, ...]) -> None:
    """Reports steps as runners do. `attempts` are the last steps of each."""
    chance = random.Random(job_id)
    with state.database.write() as session:
        job = session.get_one(tables.Job, job_id)
        at = float(job.created_at)
        for number, end in enumerate(attempts, 1):
            job.attempt = number
            begin = max(first, attempts[number - 2] + 1 if number > 1 else first)
            steps = [_step(step, chance, job.created_at) for step in range(begin, min(last, end) + 1)]
            events = [number_event(step, seq) for seq, step in enumerate(steps, begin)]
            record_events(session, job, number, events, at=at + STEPS)
            if end < attempts[-1]:
                lost = f"Attempt {number} ended early: its node was lost. Retrying from the last checkpoint."
                add_events(session, job, [NewEvent(lost, level="warn")], at=at + end)


def _step(step: int, chance: random.Random, began: int) -> StepMetrics:
    loss = 0.35 + 2.1 * math.exp(-step / 28) + chance.gauss(0, 0.05)
    return StepMetrics(
        created_at=began + step,
        step=step,
        total_steps=STEPS,
        train_loss=loss,
        train_mean_token_accuracy=min(0.98, 1 - loss / 3),
        learning_rate=1e-3 * min(1, step / 10) * (1 - step / (STEPS + 1)),
        grad_norm=0.4 + abs(chance.gauss(0, 0.15)) + 2 * math.exp(-step / 10),
        tokens_per_second=11800 + chance.gauss(0, 240),
        eta_seconds=float(STEPS - step),
        memory_bytes=3 * 2**30,
        valid_loss=loss + 0.06 if step % 10 == 0 else None,
        full_valid_loss=loss + 0.09 if step % 40 == 0 else None,
    )


def _job(
    state: AppState,
    live: LiveApi,
    file: str,
    suffix: str,
    status: JobStatus,
    *,
    age: int,
    error: str | None = None,
) -> str:
    """`age`: minutes since it was created."""
    with state.database.write() as session:
        new = NewJob(model="base-1", training_file=file, suffix=suffix, seed=7)
        job_id = Jobs(session, live.project.tenant).create(new).id
        row = session.get_one(tables.Job, job_id)
        row.status = status.value
        row.created_at = int(time.time()) - 60 * age
        if status.is_terminal:
            row.finished_at = row.created_at + 240
        if error:
            row.error = {"code": "sequence_too_long", "message": error, "param": "training_file"}
            add_events(session, row, [NewEvent(error, level="error")], at=row.created_at)
        return job_id


def make_elastic(state: AppState, job_id: str) -> None:
    """As if it had been sent for one or two workers, and its file read."""
    options = TrainingOptions.model_validate({"num_workers": {"min": 1, "max": 2}})
    one, two = Plan(num_workers=1), Plan(num_workers=2, parallelism="ddp")
    _, config = resolve(Hyperparameters(), options, BASE, n_examples=240, seed=7, plan=two)
    with state.database.write() as session:
        job = session.get_one(tables.Job, job_id)
        job.training = options.model_dump(mode="json")
        job.config = config.model_copy(update={"alternatives": (one,)}).model_dump(mode="json")


def _publish(state: AppState, job_id: str) -> tuple[str, str]:
    """Ends the job as its publication does. Returns the names of its model and of one of its checkpoints."""
    model_name, checkpoint_name = add_stored_model(state, job_id)
    plan = Plan(footprint=FOOTPRINT)
    hyperparameters, config = resolve(
        Hyperparameters(), TrainingOptions(), BASE, n_examples=240, seed=7, plan=plan
    )
    provenance = Provenance(
        base=BASE.alias,
        base_sha256="b" * 64,
        template_sha256="e" * 64,
        training_sha256="d" * 64,
        validation_sha256=None,
        general_sha256=None,
        parent_sha256=None,
        config=config,
        environment=Environment(
            versions={"python": "3.12.4", "torch": "2.13.0"}, code_sha256="c" * 64, device="NVIDIA L40S"
        ),
    )
    cost = JobCost(
        device="NVIDIA L40S",
        steps=STEPS,
        trained_tokens=48_220,
        held_out_tokens=4_000,
        general_tokens=4_000,
        training_seconds=182,
        evaluation_seconds=21,
        memory_bytes=3 * 2**30,
        starting_seconds=14,
        publishing_seconds=9,
    )
    with state.database.write() as session:
        job = session.get_one(tables.Job, job_id)
        job.hyperparameters = hyperparameters.model_dump(mode="json")
        job.config = config.model_dump(mode="json")
        job.provenance = provenance.model_dump(mode="json")
        job.cost = cost.model_dump(mode="json")
        job.trained_tokens = cost.trained_tokens
        first = session.get_one(tables.Checkpoint, f"ftckpt_{job_id}")
        first.metrics = {"step": first.step, "train_loss": 2.1}
        for step in (40, 80, STEPS):
            session.add(
                tables.Checkpoint(
                    id=new_id("ftckpt_"),
                    job_id=job_id,
                    step=step,
                    model_name=f"{model_name}:ckpt-step-{step}",
                    manifest_key=first.manifest_key,
                    manifest_sha256=first.manifest_sha256,
                    form="lora",
                    metrics={
                        "step": step,
                        "train_loss": 1.2 - step / 150,
                        "full_valid_loss": 1.3 - step / 150,
                    },
                    created_at=job.created_at + step,
                )
            )
        add_events(session, job, [NewEvent("The job has successfully completed")], at=job.created_at + 240)
    return model_name, checkpoint_name
