from collections.abc import Iterator

import pytest

from cluster.bases.catalogue import PACKAGED_CATALOGUE
from tests.e2e.server import ENCODER, Tunery, running
from tests.families import make_family


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tunery]:
    """SQLite and a folder: what a newcomer gets; with an encoder in its catalogue."""
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
"""
    )
    with running(folder / "data", TUNERY_CATALOGUE=str(catalogue)) as tunery:
        yield tunery
