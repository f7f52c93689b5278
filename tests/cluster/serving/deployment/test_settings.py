"""A replica's settings from the environment."""

import json
from collections import Counter

import pytest
from ray.serve import Application, Deployment

from cluster.contracts.errors import InvalidConfiguration
from cluster.contracts.generation import ModelRef
from cluster.contracts.serving_plan import ServingPool, VllmPlan
from cluster.contracts.weights import WeightsRef
from cluster.serving.deployment import datasets
from cluster.serving.deployment.engines import _application
from cluster.serving.deployment.placement.placer import application_name
from cluster.serving.deployment.placement.serve_applications import actor_options
from cluster.serving.deployment.router import OneModelRouter, router_config
from cluster.serving.deployment.scaling import options, replicas
from cluster.serving.deployment.settings import PLACER, EngineSettings
from cluster.serving.fairness.overload import is_overloaded
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


def test_serve_lets_through_all_that_vllms_queue_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve's router knows no tenants: those that come last would wait there behind a flood."""
    pool = ServingPool.model_validate({"kind": "cuda", "devices": 1, "device_bytes": 80 * 10**9})
    plan = VllmPlan(pool=pool, max_model_len=64, max_num_seqs=256, max_num_batched_tokens=64, memory=None)
    settings = read(monkeypatch, WAITING="256")
    running, waiting = Counter[str](), Counter[str]()
    for tenant in "abcdef":
        while not is_overloaded(waiting, tenant, 1, max_waiting=settings.waiting):
            (running if running.total() < plan.max_num_seqs else waiting)[tenant] += 1
    assert running.total() + waiting.total() == 256 + 4 * 256
    for given, most in ((plan, 256 + 4 * 256), (None, 511)):
        assert options(settings, OneModelRouter, vllm=given)["max_ongoing_requests"] > most


def test_slow_placements_leave_the_placer_free_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    read(monkeypatch, PLACEMENT="own")
    engine = _application()._bound_deployment
    placer = engine.init_args[0]._bound_deployment
    assert (placer.name, placer.max_ongoing_requests) == (PLACER, 1000)


def parts(application: Application) -> dict[str, Deployment]:
    """The deployments of an application, by name."""
    first = application._bound_deployment
    others = [arg._bound_deployment for arg in first.init_args if isinstance(arg, Application)]
    return {each.name: each for each in (first, *others)}


def test_several_entries_forward_to_models_of_their_own_and_one_process_asks_for_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert set(parts(_application())) == {"engine"}
    read(monkeypatch, MAX_REPLICAS="2")
    assert set(parts(_application())) == {"engine", "cluster"}
    read(monkeypatch, PLACEMENT="own", MIN_REPLICAS="0")
    found = parts(_application())
    assert set(found) == {"engine", "cluster", PLACER}
    scaling = found["engine"]._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (1, 4, 32)
    assert all(found[name].num_replicas == 1 for name in ("cluster", PLACER))
    read(monkeypatch, MAX_ENTRIES="1")
    assert set(parts(_application())) == {"engine", PLACER}


GPUS = {"kind": "cuda", "devices": 8, "device_bytes": "80GB", "labels": {"pool": "serve"}}
CPUS = {"kind": "cpu", "devices": 8, "host_bytes": "64GB", "labels": {"pool": "services"}}


@pytest.mark.parametrize(("entries", "names"), [("1", set()), ("3", {"cluster"})])
def test_a_replica_that_also_runs_small_models_forwards_alone_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, entries: str, names: set[str]
) -> None:
    monkeypatch.setenv("TUNERY_SERVING_POOLS", json.dumps([GPUS]))
    read(monkeypatch, MAX_ENTRIES=entries)
    found = parts(_application())
    assert set(found) == {"engine", PLACER} | names
    if names:
        scaling = found["engine"]._deployment_config.autoscaling_config
        assert (scaling.min_replicas, scaling.max_replicas) == (1, 3)
        with pytest.raises(InvalidConfiguration, match="LISTEN_HOST needs exactly one replica"):
            read(monkeypatch, LISTEN_HOST="127.0.0.1")


def test_what_needs_no_gpu_runs_on_the_nodes_of_the_pool_of_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def selectors() -> dict[str, object]:
        settings = EngineSettings.read()
        found = parts(_application()) | parts(datasets._application())
        of_actors = {name: each.ray_actor_options for name, each in found.items()}
        of_actors["model"] = actor_options(settings, None)
        return {name: options.get("label_selector") for name, options in of_actors.items()}

    read(monkeypatch, PLACEMENT="own")
    monkeypatch.setenv("TUNERY_SERVING_POOLS", json.dumps([GPUS]))
    names = ("engine", "cluster", PLACER, "datasets", "model")
    assert selectors() == dict.fromkeys(names)
    monkeypatch.setenv("TUNERY_SERVING_POOLS", json.dumps([GPUS, CPUS]))
    assert selectors() == dict.fromkeys(names, CPUS["labels"])
    on_gpus = read(monkeypatch, ACTOR_OPTIONS='{"num_gpus": 1}')
    assert actor_options(on_gpus, None) == {"num_cpus": 0.5, "num_gpus": 1}


def test_a_pool_of_cpus_alone_changes_nothing_but_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNERY_SERVING_POOLS", json.dumps([CPUS]))
    monkeypatch.setenv("TUNERY_ENGINE", "vllm")
    assert set(parts(_application())) == {"engine"}
    assert EngineSettings.read().own_engine == "vllm"


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
