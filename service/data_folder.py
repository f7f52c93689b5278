"""Locates the database, the storage and the catalogue in the data folder, unless the environment names
others."""

import os
from collections.abc import Mapping
from pathlib import Path

from cluster.bases.catalogue import PACKAGED_CATALOGUE
from service.permissions import make_private_folder


def database_url(folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    return environment.get("TUNERY_DATABASE_URL") or f"sqlite:///{folder.absolute() / 'tunery.db'}"


def storage_url(folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    return environment.get("TUNERY_STORAGE_URL") or f"file://{folder.absolute() / 'objects'}"


def catalogue_path(folder: Path, environment: Mapping[str, str] = os.environ) -> Path:
    return Path(environment.get("TUNERY_CATALOGUE") or folder.absolute() / "catalogue.toml")


def create_catalogue(path: Path) -> None:
    """Creates a catalogue with the packaged one's contents, if there is none yet."""
    if not path.exists():
        make_private_folder(path.parent)
        path.write_bytes(PACKAGED_CATALOGUE.read_bytes())
