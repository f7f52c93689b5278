"""The work of the application at /datasets on files and weights. Only its replica imports this: building the
application would otherwise take seconds longer, for torch and transformers."""

from pydantic import BaseModel

from cluster.contracts.datasets import DatasetCheckRequest
from cluster.exporting.export import export_weights
from cluster.serving.deployment.placement.plans import check_adapter_rank
from cluster.serving.deployment.settings import EngineSettings
from cluster.serving.residency.memory import free_host_bytes
from cluster.storage.store import ObjectStore
from cluster.training.data.compiled import check_dataset
from cluster.training.data.preview import preview_rows
from cluster.training.data.reported import REPORT_BYTES, kept_report, make_report
from cluster.training.importing.adapter import import_adapter

__all__ = [
    "check_servable_dataset",
    "export_weights",
    "free_host_bytes",
    "import_adapter",
    "kept_report",
    "make_report",
    "preview_rows",
    "reports_at_once",
]

MAX_REPORTS = 4
"""Maximum number of data reports that are made concurrently: one per project."""


def check_servable_dataset(body: DatasetCheckRequest, store: ObjectStore) -> BaseModel:
    """Like `check_dataset`, but also raises InvalidRequest if serving could not load what is to be
    trained."""
    check_adapter_rank(body.base, body.training, EngineSettings.read())
    return check_dataset(body, store)


def reports_at_once(cpus: int, free_bytes: int) -> int:
    """Returns how many data reports are made concurrently. Half of the CPUs and half of the free memory are
    left for other work."""
    return max(1, min(MAX_REPORTS, cpus // 2, free_bytes // (2 * REPORT_BYTES)))
