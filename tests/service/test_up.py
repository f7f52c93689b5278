"""The programs that `tunery up` runs."""

import os
from pathlib import Path

import pytest

from cluster.contracts.errors import InvalidConfiguration
from service.data_folder import catalogue_path, create_catalogue
from service.up import _Plan, driver_remarks, up


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_runners_sync_at_a_port_that_only_this_machine_can_reach(tmp_path: Path, host: str) -> None:
    plan = _Plan.make(tmp_path, host, 9000, tmp_path / "ray")
    (api,) = (program for program in plan.programs(host, 9000) if program.name == "api")
    port = api.argv[api.argv.index("--internal-port") + 1]
    assert plan.service_environment["TUNERY_SERVICE_URL"] == f"http://127.0.0.1:{port}"
    # The API's default is 127.0.0.1, whatever the host for clients is.
    assert "--internal-host" not in api.argv
    assert port != "9000"


def test_the_api_does_not_get_the_token_of_rays_jobs_api(tmp_path: Path) -> None:
    programs = _Plan.make(tmp_path, "127.0.0.1", 9000, tmp_path / "ray").programs("127.0.0.1", 9000)
    with_token = {program.name for program in programs if "RAY_AUTH_TOKEN" in program.environment}
    assert with_token == {"ray", "scheduler"}


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TUNERY_TRAINING_SLOTS", "many", "TUNERY_TRAINING_SLOTS is 'many'"),
        ("TUNERY_TRAINING_POOLS", "{", "TUNERY_TRAINING_POOLS is not JSON"),
        ("TUNERY_SERVING_POOLS", "{", "TUNERY_SERVING_POOLS is not JSON"),
        ("TUNERY_SERVING_POOLS", '[{"kind": "cuda", "devices": 1}]', "a pool of GPUs needs device_bytes"),
        ("TUNERY_ENGINE", "sglang", "TUNERY_ENGINE is 'sglang'"),
        ("TUNERY_GPU_SHARING", "maybe", "TUNERY_GPU_SHARING is 'maybe'"),
        ("TUNERY_CATALOGUE", "/absent/models.toml", "/absent/models.toml"),
        ("TUNERY_WEBHOOK_ALLOWED_DESTINATIONS", "http://x", "'http://x'"),
    ],
)
def test_settings_that_nothing_can_start_with_are_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidConfiguration, match=message):
        up(tmp_path / "data", "127.0.0.1", 9000)
    assert not (tmp_path / "data").exists()


def test_gpus_are_found_and_kept_from_the_replica_that_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 0, GPU-aa01, 81559\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    plan = _Plan.make(tmp_path, "127.0.0.1", 9000, tmp_path / "ray")
    assert plan.service_environment["TUNERY_GPU_SHARING"] == "training_first"
    assert plan.ray_environment["TUNERY_VLLM_PYTHON"] == str(tmp_path / "vllm" / "bin" / "python")
    assert '"devices":1' in plan.ray_environment["TUNERY_SERVING_POOLS"]
    # Which hides the GPUs from the replica.
    assert plan._engine()["ray_actor_options"] == {"num_cpus": 0.5, "num_gpus": 0}
    shared, missing = plan.remarks(tmp_path)
    assert "in turn (training_first)" in shared
    assert f"tunery vllm install --data {tmp_path}" in missing


def test_a_driver_that_is_too_old_for_torch_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia-smi").write_text(
        '#!/bin/sh\ncase "$1" in *driver*) echo 570.124.06;; *) echo 0, GPU-aa01, 81559;; esac\n'
    )
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("service.up.cuda_of_torch", lambda: "13.0")
    plan = _Plan.make(tmp_path, "127.0.0.1", 9000, tmp_path / "ray")
    assert "it is version 570, and CUDA 13.0 needs 580 or newer" in next(plan.remarks(tmp_path))
    for driver, cuda in ((580, "13.0"), (570, "12.8"), (None, "13.0"), (570, None)):
        assert list(driver_remarks(driver, cuda)) == []


def test_without_gpus_nothing_is_said_about_them(tmp_path: Path) -> None:
    plan = _Plan.make(tmp_path, "127.0.0.1", 9000, tmp_path / "ray")
    assert list(plan.remarks(tmp_path)) == []
    assert "TUNERY_SERVING_POOLS" not in plan.ray_environment


def test_the_packaged_base_is_loaded_first_only_if_the_catalogue_has_it(tmp_path: Path) -> None:
    catalogue = catalogue_path(tmp_path)

    def warm() -> str:
        return _Plan.make(tmp_path, "127.0.0.1", 9000, tmp_path / "ray").ray_environment["TUNERY_WARM_BASES"]

    create_catalogue(catalogue)
    assert warm() == "tunery-tiny-1"
    catalogue.write_text(catalogue.read_text().replace('"tunery-tiny-1"', '"another"'))
    assert warm() == ""
