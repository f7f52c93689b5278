"""Reads the deployment files."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BASE, SMALL = DEPLOY / "k8s" / "base", DEPLOY / "k8s" / "overlays" / "small"

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def compose() -> Document:
    (document,) = documents(DEPLOY / "compose" / "compose.yaml")
    return document


def resources(folder: Path) -> list[Document]:
    """Resources that a kustomization's folder adds, without its bases and patches."""
    (kustomization,) = documents(folder / "kustomization.yaml")
    files = [folder / name for name in kustomization["resources"]]
    return [document for file in files if file.suffix == ".yaml" for document in documents(file)]


def pod_specs(resource: Document) -> list[Document]:
    """Pod specifications of a resource; for a RayService, those of the head and of each group of workers."""
    match resource["kind"]:
        case "Deployment" | "StatefulSet" | "Job":
            return [resource["spec"]["template"]["spec"]]
        case "RayService":
            cluster = resource["spec"]["rayClusterConfig"]
            groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
            return [group["template"]["spec"] for group in groups]
    return []


def pod_labels(resource: Document) -> list[dict[str, str]]:
    if resource["kind"] == "RayService":
        cluster = resource["spec"]["rayClusterConfig"]
        groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        return [group["template"]["metadata"]["labels"] for group in groups]
    return [resource["spec"]["template"]["metadata"]["labels"]] if pod_specs(resource) else []
