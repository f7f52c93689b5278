import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cluster.bases.catalogue import load_catalogue
from cluster.bases.resolve import local_folder
from cluster.contracts.bases import BuiltinSource
from service.cli.main import app


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model in transformers' format."""
    folder = tmp_path / "Our Model"
    shutil.copytree(local_folder(BuiltinSource(name="tiny")), folder)
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TUNERY_CATALOGUE", raising=False)
    return tmp_path / "data"


def bases(data: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["bases", *map(str, arguments), "--data", str(data)])


def test_a_folder_becomes_a_base_with_what_its_configuration_says(model: Path, data: Path) -> None:
    assert bases(data, "ls").stdout.startswith("tunery-tiny-1\there\t1024\tfloat32\tbuilt in")
    assert not data.exists()
    added = bases(data, "add", model, "--json")
    assert added.exit_code == 0, added.stderr
    shown = json.loads(added.stdout)
    assert (shown["alias"], shown["state"], shown["source"]) == ("our-model", "here", str(model))
    assert shown["learning_rates"] == {"lora": 4e-4, "full": 4e-5}
    assert list(load_catalogue(data / "catalogue.toml")) == ["tunery-tiny-1", "our-model"]

    again = bases(data, "add", model)
    assert again.exit_code == 1
    assert "alias 'our-model' is taken" in again.stderr
    assert bases(data, "add", model, "--alias", "second", "--context", 99).exit_code == 0
    assert load_catalogue(data / "catalogue.toml")["second"].context_length == 99


def test_the_plan_of_a_base_names_devices_and_memory(model: Path, data: Path) -> None:
    plans = json.loads(bases(data, "plan", "tunery-tiny-1", "--json").stdout)
    assert [plan["type"] for plan in plans] == ["lora", "qlora", "full"]
    assert all(plan["plan"]["num_workers"] == 1 for plan in plans)
    assert bases(data, "plan", "tunery-tiny-1").stdout.startswith("lora\t1\tsingle\t")


def test_what_is_no_model_is_not_added(model: Path, data: Path) -> None:
    (model / "model.safetensors").unlink()
    refused = bases(data, "add", model)
    assert refused.exit_code == 1
    assert "its folder has no *.safetensors" in refused.stderr
    assert not data.exists()


def test_verify_tells_changed_weights_from_the_same(model: Path, data: Path) -> None:
    bases(data, "add", model)
    assert bases(data, "verify", "our-model").stdout == (
        "our-model: 0 of 1 files had been read before, and are unchanged.\n"
    )
    assert bases(data, "fetch", "our-model").stdout == f"our-model is in {model}.\n"
    missing = bases(data, "fetch", "absent")
    assert missing.exit_code == 1
    assert "has no model 'absent'. It has tunery-tiny-1, our-model." in missing.stderr
