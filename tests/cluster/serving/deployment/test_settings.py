"""A replica's settings from the environment."""

import pytest

from cluster.contracts.errors import InvalidConfiguration
from cluster.contracts.generation import ModelRef
from cluster.contracts.weights import WeightsRef
from cluster.serving.deployment.engines import _application
from cluster.serving.deployment.placement.placer import application_name
from cluster.serving.deployment.router import OneModelRouter, router_config
from cluster.serving.deployment.scaling import options, replicas
from cluster.serving.deployment.settings import PLACER, EngineSettings
from tests.api import BASE


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> EngineSettings:
    for name, value in variables.items():
        monkeypatch.setenv(f"TUNERY_ENGINE_{name}", value)
    return EngineSettings.read()


def test_one_replica_is_the_default_and_own_deployments_scale_to_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert replicas(read(monkeypatch)) == {"num_replicas": 1}
    own = replicas(
        read(monkeypatch, PLACEMENT="own", MAX_REPLICAS="3", SLOTS="8", SCALE_TO_ZERO_SECONDS="60")
    )
    scaling = own["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["max_replicas"]) == (0, 3)
    assert (scaling["target_ongoing_requests"], scaling["downscale_delay_s"]) == (8, 60)


def test_answers_have_a_quarter_of_an_hour_to_end_unless_the_settings_say_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert options(read(monkeypatch))["graceful_shutdown_timeout_s"] == 900
    asked = options(read(monkeypatch, DRAIN_SECONDS="1800"), OneModelRouter)
    assert asked["graceful_shutdown_timeout_s"] == 1800
    assert asked["request_router_config"] == router_config(OneModelRouter)
    engine = _application()._bound_deployment
    assert (engine._deployment_config.graceful_shutdown_timeout_s, engine.max_ongoing_requests) == (1800, 512)


def test_slow_placements_leave_the_placer_free_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    read(monkeypatch, PLACEMENT="own")
    engine = _application()._bound_deployment
    placer = engine.init_args[0]._bound_deployment
    assert (placer.name, placer.max_ongoing_requests) == (PLACER, 1000)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"SLOTS": "0"}, "TUNERY_ENGINE_SLOTS is '0'"),
        ({"PLACEMENT": "mine"}, "TUNERY_ENGINE_PLACEMENT is 'mine'"),
        ({"MIN_REPLICAS": "3", "MAX_REPLICAS": "2"}, r"MIN_REPLICAS \(3\) must not be more"),
        (
            {"LISTEN_HOST": "127.0.0.1", "MAX_REPLICAS": "2"},
            "TUNERY_ENGINE_LISTEN_HOST needs exactly one replica",
        ),
        ({"FORGET_SECONDS": "5"}, "TUNERY_ENGINE_FORGET_SECONDS is '5'"),
        (
            {"PLACEMENT": "own", "FORGET_SECONDS": "700", "SCALE_TO_ZERO_SECONDS": "3600"},
            r"FORGET_SECONDS \(700\) must not be less than TUNERY_ENGINE_SCALE_TO_ZERO_SECONDS \(3600\)",
        ),
        ({"HOT_TOKENS_PER_SECOND": "9"}, "HOT_TOKENS_PER_SECOND needs TUNERY_ENGINE_PLACEMENT=own"),
    ],
)
def test_an_invalid_value_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    with pytest.raises(InvalidConfiguration, match=words):
        read(monkeypatch, **variables)


def test_the_former_name_of_the_scale_to_zero_time_works_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.warns(FutureWarning, match="now called TUNERY_ENGINE_SCALE_TO_ZERO_SECONDS"):
        assert read(monkeypatch, REST_SECONDS="60").scale_to_zero_seconds == 60
    with (
        pytest.warns(FutureWarning),
        pytest.raises(InvalidConfiguration, match="TUNERY_ENGINE_SCALE_TO_ZERO_SECONDS is '-1'"),
    ):
        read(monkeypatch, REST_SECONDS="-1")
    with pytest.warns(FutureWarning):
        both = read(monkeypatch, REST_SECONDS="60", SCALE_TO_ZERO_SECONDS="30")
    assert both.scale_to_zero_seconds == 30


def test_an_applications_name_depends_on_weights_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, PLACEMENT="own")
    more = read(monkeypatch, ACTOR_OPTIONS='{"num_gpus": 1}')
    assert more.actor_options == {"num_gpus": 1}
    base, adapted, tuned = (
        ModelRef(base=BASE, adapter=adapter)
        for adapter in (
            None,
            WeightsRef(digest="1" * 64, manifest_key="k"),
            WeightsRef(digest="1" * 64, manifest_key="k", form="full"),
        )
    )
    beside = {application_name(model, settings, merges=False) for model in (base, adapted)}
    assert len(beside) == 1
    others = {
        application_name(model, set_, merges=False) for model in (base, tuned) for set_ in (settings, more)
    }
    assert len(others) == 4
    assert application_name(adapted, settings, merges=True) not in others
