import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cluster.bases.catalogue import load_catalogue
from cluster.bases.resolve import local_folder
from cluster.contracts.bases import BuiltinSource
from service.cli.main import app
from tests.families import make_family
from tests.family_support import ENCODERS


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
    assert shown["created"] > 1_700_000_000
    assert list(load_catalogue(data / "catalogue.toml")) == ["tunery-tiny-1", "our-model"]

    again = bases(data, "add", model)
    assert again.exit_code == 1
    assert "alias 'our-model' is taken" in again.stderr
    assert bases(data, "add", model, "--alias", "second", "--context", 99).exit_code == 0
    assert load_catalogue(data / "catalogue.toml")["second"].context_length == 99


@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoder_is_added_as_one(family: str, tmp_path: Path, data: Path) -> None:
    make_family(family, tmp_path / "encoder")
    added = bases(data, "add", tmp_path / "encoder", "--json")
    assert added.exit_code == 0, added.stderr
    shown = json.loads(added.stdout)
    assert (shown["architecture"], shown["learning_rates"]) == ("encoder", {"lora": 3e-4, "full": 3e-5})


def test_the_plan_of_a_base_names_devices_and_memory(model: Path, data: Path) -> None:
    plans = json.loads(bases(data, "plan", "tunery-tiny-1", "--json").stdout)
    assert [plan["type"] for plan in plans] == ["serving", "lora", "qlora", "full"]
    assert plans[0]["plan"] == {
        "engine": "embedded",
        "reason": "there are no GPUs for serving",
        "vllm": None,
    }
    assert all(plan["plan"]["num_workers"] == 1 for plan in plans[1:])
    assert "\nlora\t1\tsingle\t" in bases(data, "plan", "tunery-tiny-1").stdout


def test_the_plan_of_a_base_says_how_vllm_serves_it(
    model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_ENGINE", "vllm")
    pool = {"kind": "cuda", "devices": 1, "device_bytes": "24GB"}
    monkeypatch.setenv("TUNERY_SERVING_POOLS", json.dumps([pool]))
    line = bases(data, "plan", "tunery-tiny-1").stdout.splitlines()[0]
    assert line.startswith("serving\t1\tvllm\t")
    assert "context of 1024; at once 256 sequences and 32 adapters of rank 64" in line
    monkeypatch.setenv("TUNERY_SERVING_POOLS", json.dumps([pool | {"device_bytes": "1GB"}]))
    line = bases(data, "plan", "tunery-tiny-1").stdout.splitlines()[0]
    assert "and the largest node for serving has 1 x 1 GB" in line


def test_the_list_says_which_context_vllm_is_planned_to_serve(
    model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bases(data, "add", model, "--context", 999).exit_code == 0
    catalogue = data / "catalogue.toml"
    catalogue.write_text(catalogue.read_text().replace("= 999", "= 2000000"))
    monkeypatch.setenv("TUNERY_ENGINE", "vllm")
    pool = {"kind": "cuda", "devices": 1, "device_bytes": "4GB"}
    monkeypatch.setenv("TUNERY_SERVING_POOLS", json.dumps([pool]))
    listed = {base["alias"]: base for base in json.loads(bases(data, "ls", "--json").stdout)}
    assert listed["tunery-tiny-1"]["served_context_length"] == 1024
    assert 2048 <= (served := listed["our-model"]["served_context_length"]) < 2_000_000
    assert f"our-model\there\t{served} of 2000000\t" in bases(data, "ls").stdout


@pytest.mark.parametrize(
    ("variables", "pool"),
    [
        ({}, ("cuda", 3)),
        ({"TUNERY_SERVING_GPUS": "2"}, ("cuda", 2)),
        ({"TUNERY_TRAINING_SLOTS": "1"}, ("cuda", 1)),
        ({"TUNERY_TRAINING_DEVICE": "cpu"}, ("cpu", 1)),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ("cuda", 1)),
    ],
)
def test_training_is_planned_for_the_devices_that_up_gives_it(
    variables: dict[str, str],
    pool: tuple[str, int],
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [f"{number}, GPU-{number}, 81559" for number in range(4)]
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n" + "".join(f"echo {line}\n" for line in lines))
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    plans = json.loads(bases(data, "plan", "tunery-tiny-1", "--json").stdout)
    found = plans[1]["plan"]["footprint"]["pool"]
    assert (found["kind"], found["devices"]) == pool


def test_a_plan_for_gpus_that_cannot_be_found_says_no_memory(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_TRAINING_DEVICE", "cuda")
    monkeypatch.setenv("PATH", str(tmp_path))
    plans = json.loads(bases(data, "plan", "tunery-tiny-1", "--json").stdout)
    assert plans[1]["plan"]["footprint"] is None
    assert bases(data, "plan", "tunery-tiny-1").exit_code == 0


def test_a_plan_says_when_examples_cannot_be_as_long_as_asked(model: Path, data: Path) -> None:
    asked = bases(data, "plan", "tunery-tiny-1", "--max-seq-length", 4096)
    assert asked.stderr == "Planned for 1024 tokens, which is the context of tunery-tiny-1.\n"
    assert bases(data, "plan", "tunery-tiny-1", "--max-seq-length", 512).stderr == ""


def test_a_base_is_removed_and_can_be_added_again(model: Path, data: Path) -> None:
    assert bases(data, "add", model).exit_code == 0
    path = data / "catalogue.toml"
    assert bases(data, "rm", "our-model", "--yes").stdout == f"Removed our-model from {path}.\n"
    assert list(load_catalogue(path)) == ["tunery-tiny-1"]
    assert (model / "model.safetensors").exists()
    absent = bases(data, "rm", "our-model", "--yes")
    assert (absent.exit_code, "it has no model 'our-model'" in absent.stderr) == (1, True)
    only = bases(data, "rm", "tunery-tiny-1", "--yes")
    assert (only.exit_code, "is its only model" in only.stderr) == (1, True)
    assert bases(data, "add", model).exit_code == 0


def test_quantized_weights_are_planned_for_serving_alone(model: Path, data: Path) -> None:
    assert bases(data, "add", model).exit_code == 0
    config = model / "config.json"
    fields = json.loads(config.read_text()) | {"quantization_config": {"quant_method": "mxfp4"}}
    config.write_text(json.dumps(fields))
    planned = bases(data, "plan", "our-model", "--json")
    serving, *training = json.loads(planned.stdout)
    assert (planned.exit_code, serving["type"], serving["problem"]) == (0, "serving", None)
    assert [plan["type"] for plan in training] == ["lora", "qlora", "full"]
    assert all("its weights are stored quantized (mxfp4)" in plan["problem"] for plan in training)


def test_what_is_no_model_is_not_added(model: Path, data: Path) -> None:
    weights, config = model / "model.safetensors", model / "config.json"
    whole, described = weights.read_bytes(), config.read_text()

    def refused(*options: object) -> str:
        answer = bases(data, "add", model, *options)
        assert answer.exit_code == 1
        assert not data.exists()
        return answer.stderr

    assert "The alias 'a/b' may only have letters" in refused("--alias", "a/b")
    assert "--context is 4096, but the model has 1024 positions" in refused("--context", 4096)
    config.write_text(described.replace('"model_type": "llama"', '"model_type": "unknown"'))
    assert "transformers cannot read the model's config.json" in refused()
    config.write_text(described.replace('"intermediate_size"', '"intermediate_size": 8, "was"'))
    assert "its config.json as" in refused()
    config.write_text(described)
    weights.write_bytes(whole[:-1])
    assert "model.safetensors is cut short" in refused()
    weights.unlink()
    assert "its folder has no *.safetensors" in refused()


def test_verify_tells_changed_weights_from_the_same(model: Path, data: Path) -> None:
    bases(data, "add", model)
    first = bases(data, "verify", "our-model").stdout
    assert first == "our-model: 1 read for the first time, so there is nothing to compare with.\n"
    assert bases(data, "verify", "our-model").stdout == "our-model: 1 unchanged.\n"
    with (model / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        last = weights.read(1)
        weights.seek(-1, 2)
        weights.write(bytes([last[0] ^ 1]))
    for _ in range(2):
        changed = bases(data, "verify", "our-model")
        assert (changed.exit_code, changed.stdout) == (1, "our-model: 1 changed (model.safetensors).\n")
    assert bases(data, "fetch", "our-model").stdout == f"our-model is in {model}.\n"
    missing = bases(data, "fetch", "absent")
    assert missing.exit_code == 1
    assert "has no model 'absent'. It has tunery-tiny-1, our-model." in missing.stderr


def test_a_catalogue_that_cannot_be_written_is_named(model: Path, data: Path) -> None:
    data.write_text("not a folder")
    added = bases(data, "add", model)
    assert (added.exit_code, added.stderr[:14], str(data) in added.stderr) == (1, "tunery bases: ", True)


def test_several_models_are_one_list_as_json(model: Path, data: Path) -> None:
    second = shutil.copytree(model, model.with_name("Second"))
    for folder in (model, second):
        bases(data, "add", folder)
    fetched = json.loads(bases(data, "fetch", "our-model", "second", "--json").stdout)
    assert [each["folder"] for each in fetched] == [str(model), str(second)]
    (verified,) = json.loads(bases(data, "verify", "our-model", "--json").stdout)
    assert verified == {"alias": "our-model", "changed": [], "compared": 0}
    shutil.rmtree(second)
    broken = bases(data, "verify", "our-model", "second", "--json")
    assert (broken.exit_code, json.loads(broken.stdout)) == (1, [verified | {"compared": 1}])


def test_the_version_is_that_of_the_package() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"{version('tunery')}\n")
