from collections.abc import Iterator

import pytest

from cluster.bases.catalogue import PACKAGED_CATALOGUE
from service.ports import free_ports
from tests.e2e.server import ABSENT, ENCODER, Tunery, running_with_its_own_key, up
from tests.families import make_family


@pytest.fixture(scope="package")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tunery]:
    """The default installation, on SQLite and a folder, with an encoder in its catalogue and a model whose
    folder does not exist. Two jobs train at a time.

    It is stopped before its worker continues with other folders: an idle installation takes a fifth of a
    core."""
    folder = tmp_path_factory.mktemp("embedded")
    encoder = folder / "encoder"
    make_family("bert", encoder)
    catalogue = folder / "catalogue.toml"
    catalogue.write_text(
        f"""{PACKAGED_CATALOGUE.read_text()}
[[model]]
alias = "{ENCODER}"
source = {{ kind = "folder", path = "{encoder}" }}
context_length = 128
learning_rates = {{ lora = 5e-3, full = 1e-3 }}
architecture = "encoder"

[[model]]
alias = "{ABSENT}"
source = {{ kind = "folder", path = "{folder / "absent"}" }}
context_length = 128
learning_rates = {{ lora = 5e-3 }}
"""
    )
    slots = {"TUNERY_TRAINING_SLOTS": "2", "TUNERY_WORKER_CPUS": "1"}
    command = up(folder / "data", free_ports(1)[0])
    with running_with_its_own_key(command, TUNERY_CATALOGUE=str(catalogue), **slots) as tunery:
        yield tunery
