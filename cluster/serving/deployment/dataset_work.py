"""What the application at /datasets does with files and weights. Its replica alone imports this: what builds
the application would take seconds longer, for torch and transformers."""

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
"""Data reports that are made concurrently, at most: one of each project."""


def check_servable_dataset(body: DatasetCheckRequest, store: ObjectStore) -> BaseModel:
    """As `check_dataset`. Raises InvalidRequest, too, if serving could not load what is to be trained."""
    check_adapter_rank(body.base, body.training, EngineSettings.read())
    return check_dataset(body, store)


def reports_at_once(cpus: int, free_bytes: int) -> int:
    """How many data reports are made concurrently: half of the CPUs and half of the free memory are for
    others."""
    return max(1, min(MAX_REPORTS, cpus // 2, free_bytes // (2 * REPORT_BYTES)))
