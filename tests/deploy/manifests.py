"""Reads the deployment files."""

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BASE, SMALL = DEPLOY / "k8s" / "base", DEPLOY / "k8s" / "overlays" / "small"
GPU = DEPLOY / "k8s" / "overlays" / "gpu"

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


def rendered(folder: Path) -> list[Document]:
    """What `kubectl kustomize` makes of an overlay on the base, without names and labels that it adds to
    all: the resources with the overlay's patches, which are JSON patches of one target, or merged."""
    (kustomization,) = documents(folder / "kustomization.yaml")
    made = [*resources(BASE), *resources(folder)]
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in made}
    for patch in kustomization.get("patches", []):
        changes = documents(folder / patch["path"])
        if "target" in patch:
            target = by_name[(patch["target"]["kind"], patch["target"]["name"])]
            for operation in changes[0]:
                apply(target, operation)
        else:
            for change in changes:
                _merge(by_name[(change["kind"], change["metadata"]["name"])], change)
    return made


def apply(target: Any, operation: Document) -> None:
    """One operation of a JSON patch (RFC 6902): `add` or `replace`, and only what is there can be
    replaced."""
    path = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    *parents, last = [int(part) if part.isdecimal() else part for part in path]
    for parent in parents:
        target = target[parent]
    value = copy.deepcopy(operation["value"])
    if operation["op"] == "add" and isinstance(target, list):
        target.insert(len(target) if last == "-" else last, value)
        return
    assert operation["op"] == "add" or last in target or isinstance(target, list), operation["path"]
    target[last] = value


def _merge(target: Document, change: Document) -> None:
    for name, value in change.items():
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = value


def pod_specs(resource: Document) -> list[Document]:
    """Pod specifications of a resource; for a RayService, those of the head and of each group of workers."""
    match resource["kind"]:
        case "Deployment" | "StatefulSet" | "Job":
            return [resource["spec"]["template"]["spec"]]
        case "CronJob":
            return [resource["spec"]["jobTemplate"]["spec"]["template"]["spec"]]
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
