import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from cluster.contracts.errors import InvalidConfiguration
from service.settings import RENAMED, Settings, checked_settings


def test_settings_come_from_variables_with_our_prefix_and_rays_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNERY_DATABASE_URL", "postgresql://somewhere/x")
    monkeypatch.setenv("TUNERY_CLUSTER_TOKEN", "canary-one")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "canary-two")
    settings = Settings()
    assert settings.database_url == "postgresql://somewhere/x"
    assert settings.cluster_token.get_secret_value() == "canary-one"
    assert settings.ray_auth_token is not None
    assert settings.ray_auth_token.get_secret_value() == "canary-two"
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("training_slots", 0),
        ("heartbeat_timeout_seconds", 0),
        ("organization", "no spaces: or colons"),
        ("max_attempts", -1),
    ],
)
def test_a_setting_out_of_its_range_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description is not None
    assert description.endswith(".")


@pytest.mark.parametrize(("old", "field"), RENAMED.items())
def test_a_renamed_variable_still_works_and_warns(
    old: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(old, "7")
    with pytest.warns(FutureWarning, match=f"{old} is now called TUNERY_{field.upper()}"):
        assert getattr(Settings(), field) == 7


def test_a_variables_new_name_wins_over_its_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNERY_LOAD_SECONDS", "7")
    monkeypatch.setenv("TUNERY_LOAD_TIMEOUT_SECONDS", "8")
    with pytest.warns(FutureWarning):
        assert Settings().load_timeout_seconds == 8


def test_trackers_are_where_the_operator_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNERY_INTEGRATIONS", "wandb, mlflow,tensorboard")
    monkeypatch.setenv("TUNERY_MLFLOW_URL", "http://mlflow.internal:5000/")
    monkeypatch.setenv("TUNERY_TRACKIO_URL", "file:///runs")
    assert Settings().trackers.urls == {
        "wandb": "https://api.wandb.ai",
        "mlflow": "http://mlflow.internal:5000",
    }
    monkeypatch.delenv("TUNERY_INTEGRATIONS")
    assert Settings().trackers.urls == {}


@pytest.mark.parametrize(
    ("type", "url"),
    [
        ("mlflow", None),
        ("mlflow", "file:///runs"),
        ("mlflow", "https://user:canary-pass@mlflow.internal"),
        ("mlflow", "https://mlflow.internal?token=canary-pass"),
        ("wandb", "wandb.internal"),
        ("trackio", "file:runs"),
        ("trackio", "hf://"),
    ],
)
def test_a_trackers_place_that_is_missing_or_holds_a_secret_is_refused_at_the_start(
    type: str, url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_INTEGRATIONS", type)
    if url is not None:
        monkeypatch.setenv(f"TUNERY_{type}_URL".upper(), url)
    with pytest.raises(InvalidConfiguration, match=f"TUNERY_{type.upper()}_URL") as found:
        checked_settings()
    assert "canary" not in str(found.value)


def test_pools_are_read_with_sizes_as_people_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNERY_TRAINING_DEVICE", "cuda")
    pool = '{"kind": "cuda", "nodes": 4, "devices": 8, "device_bytes": "80GB", "host_bytes": "1.5TiB"}'
    monkeypatch.setenv("TUNERY_TRAINING_POOLS", f"[{pool}]")
    (found,) = Settings().training_pools
    assert (found.all_devices, found.bytes_per_worker) == (32, 80 * 10**9)
    assert found.host_bytes == 1.5 * 2**40


def test_pools_are_read_from_a_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNERY_TRAINING_DEVICE", "cuda")
    file = tmp_path / "pools.toml"
    file.write_text(
        """
        [[pools]]
        name = "h100"
        kind = "cuda"
        nodes = 4
        min_nodes = 1
        devices = 8
        device_bytes = "80GB"
        accelerator_type = "H100"
        price = 2.5

        [[pools]]
        name = "spot"
        kind = "cuda"
        devices = 1
        device_bytes = "24GB"
        labels = { pool = "spot" }
        """
    )
    monkeypatch.setenv("TUNERY_TRAINING_POOLS", str(file))
    dear, spot = Settings().training_pools
    assert (dear.selector, dear.min_nodes, dear.price) == ({"ray.io/accelerator-type": "H100"}, 1, 2.5)
    assert (spot.selector, spot.price) == ({"pool": "spot"}, 1.0)
    assert (Settings().training_devices, Settings().most_workers) == (33, 32)
    as_json = tmp_path / "pools.json"
    as_json.write_text(json.dumps([dear.model_dump(), spot.model_dump()]))
    monkeypatch.setenv("TUNERY_TRAINING_POOLS", str(as_json))
    assert Settings().training_pools == (dear, spot)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "neither JSON nor a file"),
        ("[[pools]\n", "is not TOML"),
        ("nodes = 1", "has no list of pools"),
        ('[[pools]]\nkind = "cpu"\ndevices = 0\nhost_bytes = 1', r"TUNERY_TRAINING_POOLS\[0\].devices is 0"),
    ],
)
def test_a_file_of_pools_that_cannot_be_used_is_named(
    content: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pools.toml"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("TUNERY_TRAINING_POOLS", str(file))
    with pytest.raises(InvalidConfiguration, match=message):
        checked_settings()


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        ('{"kind": "cuda", "devices": 1, "device_bytes": "80GB"}', "TUNERY_TRAINING_DEVICE is 'cpu'"),
        ('{"kind": "cuda", "devices": 1}', "needs device_bytes"),
        ('{"kind": "cpu", "devices": 1}', "needs host_bytes"),
        ('{"kind": "cpu", "devices": 0, "host_bytes": 1}', "greater than or equal to 1"),
        ('{"kind": "cpu", "devices": 1, "host_bytes": 1, "min_nodes": 2}', "min_nodes is 2, but nodes"),
        ('{"kind": "cpu", "devices": 1, "host_bytes": 1, "accelerator_type": "L4"}', "has no accelerator"),
        ('{"kind": "cpu", "devices": 1, "host_bytes": 1, "labels": {"a": "!b"}}', "not a label"),
        (", ".join(['{"kind": "cpu", "devices": 1, "host_bytes": 1}'] * 2), "two pools have the name"),
        (
            '{"kind": "cpu", "devices": 1, "host_bytes": 1},'
            ' {"name": "b", "kind": "cpu", "devices": 1, "host_bytes": 1}',
            "'training' and 'b' have no labels",
        ),
    ],
)
def test_pools_that_jobs_cannot_be_planned_for_are_refused(
    pool: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_TRAINING_POOLS", f"[{pool}]")
    with pytest.raises(ValidationError, match=reason):
        Settings()
