"""A data folder for `tunery up` with projects and tuned models, without any training.

The models are random adapters whose outputs differ clearly. Storage and database look as after finished jobs.
"""

from dataclasses import dataclass
from pathlib import Path

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.jobs import JobStatus
from cluster.contracts.weights import WeightsRef
from cluster.storage.local import LocalStore
from service.db import tables
from service.db.database import Database, now
from service.db.jobs.jobs import Jobs, NewJob
from tests.api import Project, add_project
from tests.cluster.serving.published import publish_lora
from tests.e2e.server import BASE
from tests.service.db.rows import add_file

_MLP = ["gate_proj", "up_proj", "down_proj"]
_KINDS = (
    {"scale": 0.2, "r": 8, "lora_alpha": 16, "target_modules": _MLP},
    {"scale": 0.14, "r": 16, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj", "down_proj"]},
    {"scale": 0.14, "r": 4, "lora_alpha": 8, "target_modules": _MLP, "use_rslora": True},
    {"scale": 0.12, "r": 8, "lora_alpha": 16, "target_modules": "all-linear"},
)
"""Adapters cycle through these, so that batches mix ranks, target modules and scalings. `scale` is the scale
of the random weights: large enough that no two adapters give the same answer, small enough that rounding
errors do not grow from layer to layer."""


@dataclass(frozen=True)
class Tuned:
    name: str
    """The model name that clients send."""
    folder: Path
    """The adapter in PEFT's format."""
    project: Project


@dataclass(frozen=True)
class World:
    folder: Path
    """For `tunery up --data`."""
    projects: list[Project]
    models: list[Tuned]


def make_world(folder: Path, *, num_models: int, num_projects: int) -> World:
    """Deals the models out to the projects in turn. Their keys have the scope `infer` only."""
    data = folder / "data"
    data.mkdir(parents=True)
    store = LocalStore(data / "objects")
    database = Database(f"sqlite:///{data / 'tunery.db'}")
    try:
        database.migrate()
        projects = [add_project(database, scopes=frozenset({"infer"})) for _ in range(num_projects)]
        models = []
        for number in range(num_models):
            adapter = folder / f"adapter-{number}"
            kind = _KINDS[number % len(_KINDS)]
            ref = publish_lora(store, load_catalogue()[BASE], adapter, seed=number, **kind)
            project = projects[number % num_projects]
            models.append(Tuned(_add_model(database, project, ref), adapter, project))
    finally:
        database.close()
    return World(data, projects, models)


def _add_model(database: Database, project: Project, ref: WeightsRef) -> str:
    file = add_file(database, project.tenant)
    with database.write() as session:
        new = NewJob(model=BASE, training_file=file.id)
        job = session.get_one(tables.Job, Jobs(session, project.tenant).create(new).id)
        # Set in the transaction that creates the job, so that no scheduler ever sees it queued.
        job.status = JobStatus.SUCCEEDED.value
        session.add(
            tables.Model(
                id=job.output_model,
                organization_id=job.organization_id,
                project_id=job.project_id,
                job_id=job.id,
                base=BASE,
                form=ref.form,
                manifest_key=ref.manifest_key,
                manifest_sha256=ref.digest,
                created_at=int(now(session)),
            )
        )
        return job.output_model
