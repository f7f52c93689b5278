"""A data folder for `tunery up` with projects and tuned models that nobody had to train: random adapters that
differ clearly, in storage and in the database as a finished job leaves them."""

from dataclasses import dataclass
from pathlib import Path

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.jobs import JobStatus
from cluster.contracts.weights import WeightsRef
from cluster.storage.local import LocalStore
from service.db import tables
from service.db.database import Database, now
from service.db.jobs import Jobs, NewJob
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
"""In turn: batches mix ranks, targets and scalings. `scale` is of the weights: enough for no two adapters to
say the same, and not so much that rounding grows from layer to layer."""


@dataclass(frozen=True)
class Tuned:
    name: str
    """As clients call it."""
    folder: Path
    """The adapter as PEFT saved it."""
    project: Project


@dataclass(frozen=True)
class World:
    folder: Path
    """For `tunery up --data`."""
    projects: list[Project]
    models: list[Tuned]


def make_world(folder: Path, *, num_models: int, num_projects: int) -> World:
    """Models belong to the projects in turn; whoever calls may infer, and nothing else."""
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
            models.append(Tuned(_published(database, project, ref), adapter, project))
    finally:
        database.close()
    return World(data, projects, models)


def _published(database: Database, project: Project, ref: WeightsRef) -> str:
    file = add_file(database, project.tenant)
    with database.write() as session:
        new = NewJob(model=BASE, training_file=file.id)
        job = session.get_one(tables.Job, Jobs(session, project.tenant).create(new).id)
        # In the transaction that made it: no scheduler ever sees it waiting.
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
