"""The Serve applications over HTTP, on a local Ray cluster."""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter
from transformers import AutoModelForSequenceClassification

from cluster.contracts.bases import BaseSpec
from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest, TextInput
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.generation import (
    MODEL_HEADER,
    EngineStats,
    ErrorEvent,
    FinishEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    Sampling,
    TextPrompt,
    WireEvent,
)
from cluster.contracts.ray_nodes import WaitingGang
from cluster.contracts.weights import WeightsRef
from cluster.serving.measured import SERVING
from cluster.storage.keys import file_key
from cluster.storage.local import LocalStore
from service.ports import free_ports
from service.scheduling.cluster.cluster_view import HttpClusterView
from tests.cluster.serving.published import publish_folder, publish_full, publish_lora
from tests.families import make_family
from tests.ray_head import RayHead, ray_head
from tests.tiny_base import make_tiny_base

pytestmark = pytest.mark.ray

TOKEN = "a-token-for-the-cluster"
EVENT: TypeAdapter[WireEvent] = TypeAdapter(WireEvent)

SERVE_CONFIG: dict[str, Any] = {
    "proxy_location": "HeadOnly",
    "applications": [
        {
            "name": name,
            "route_prefix": f"/{name}",
            "import_path": f"cluster.serving.deployment:{name}_app",
        }
        for name in ("engine", "datasets")
    ]
    + [
        {
            "name": "spread",
            "route_prefix": "/spread",
            "import_path": "cluster.serving.deployment:engine_app",
            "deployments": [{"name": "engine", "num_replicas": 2}],
        },
        {
            "name": "owned",
            "route_prefix": "/owned",
            "import_path": "cluster.serving.deployment:engine_app",
            "runtime_env": {
                "env_vars": {
                    "TUNERY_ENGINE_PLACEMENT": "own",
                    "TUNERY_ENGINE_SCALE_TO_ZERO_SECONDS": "2",
                    # Six hundred tokens in one request; the other tests stay below or end before it matters.
                    "TUNERY_ENGINE_HOT_TOKENS_PER_SECOND": "2",
                }
            },
        },
    ],
}


@dataclass(frozen=True)
class Deployed:
    url: str
    base: BaseSpec
    adapter: WeightsRef
    store: LocalStore
    head: RayHead

    def replicas(self, application: str) -> int:
        """Replicas that are running, starting or stopping."""
        deployments = self.applications()[application]["deployments"].values()
        return sum(len(deployment["replicas"]) for deployment in deployments)

    def applications(self) -> dict[str, Any]:
        with self.head.http() as http:
            found: dict[str, Any] = http.get("/api/serve/applications/").json()["applications"]
        return found

    def groups(self) -> list[dict[str, Any]]:
        """The placement groups that have not been removed."""
        with self.head.http() as http:
            found = http.get("/api/v0/placement_groups").json()["data"]["result"]["result"]
        return [group for group in found if group["state"] != "REMOVED"]

    def client(self, token: str = TOKEN) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=300, trust_env=False)

    def request(self, id_: str, **sampling: Any) -> GenerationRequest:
        return GenerationRequest(
            id=id_,
            model=ModelRef(base=self.base, adapter=self.adapter),
            prompt=TextPrompt(text="The quick brown"),
            sampling=Sampling(temperature=0, **sampling),
        )


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    # Long and slow enough that a stream is still running when its reader disconnects.
    base = make_tiny_base(folder / "base", hidden=64, layers=4, context_length=8192)
    with deploy(folder, base, SERVE_CONFIG, TUNERY_WARM_BASES=base.alias) as made:
        yield made


@contextmanager
def deploy(folder: Path, base: BaseSpec, config: dict[str, Any], **environment: str) -> Iterator[Deployed]:
    """The applications of `config` on a Ray of their own. An adapter of `base` is in `folder / "adapter"`."""
    store = LocalStore(folder / "store")
    adapter = publish_lora(store, base, folder / "adapter", seed=1, r=4, target_modules="all-linear")
    catalogue = folder / "catalogue.toml"
    catalogue.write_text(_catalogue(base))
    (port,) = free_ports(1)
    environment = {
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
        "TUNERY_CLUSTER_TOKEN": TOKEN,
        "TUNERY_STORAGE_URL": f"file://{folder / 'store'}",
        "TUNERY_CACHE_DIR": str(folder / "cache"),
        "TUNERY_CATALOGUE": str(catalogue),
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
        **environment,
    }
    with ray_head(folder, environment, num_gpus=1) as head:
        head.deploy(config | {"http_options": {"host": "127.0.0.1", "port": port}})
        yield Deployed(f"http://127.0.0.1:{port}", base, adapter, store, head)


def _catalogue(base: BaseSpec) -> str:
    assert base.source.kind == "folder"
    return (
        f'[[model]]\nalias = "{base.alias}"\ncontext_length = {base.context_length}\n'
        f'[model.source]\nkind = "folder"\npath = "{base.source.path}"\n'
        "[model.learning_rates]\nlora = 5e-3\nfull = 1e-3\n"
    )


def events_of(response: httpx2.Response) -> list[WireEvent]:
    return [EVENT.validate_json(line) for line in response.content.splitlines()]


def _text(response: httpx2.Response) -> str:
    assert response.is_success, response.text
    return "".join(event.text for event in events_of(response) if event.type == "text")


def _under_way(client: httpx2.Client) -> list[EngineStats]:
    """Statistics of the per-model deployments with running requests."""
    found = [EngineStats.model_validate(stats) for stats in client.get("/owned/stats").json()]
    return [stats for stats in found if stats.running]


def _stats(client: httpx2.Client) -> EngineStats:
    (found,) = client.get("/engine/stats").raise_for_status().json()
    return EngineStats.model_validate(found)


def test_a_generation_streams_one_json_event_per_line(deployed: Deployed) -> None:
    with deployed.client() as client:
        response = client.post(
            "/engine/generate", content=deployed.request("a", max_tokens=8).model_dump_json()
        )
    assert response.headers["content-type"].startswith("application/x-ndjson")
    events = events_of(response.raise_for_status())
    assert isinstance(events[0], PromptEvent)
    assert isinstance(events[-1], FinishEvent)
    assert events[-1].completion_tokens <= 8


def test_a_disconnect_frees_the_slots(deployed: Deployed) -> None:
    bias = {deployed_end(deployed): -100.0}
    request = deployed.request("b", max_tokens=8000, n=4, logit_bias=bias)
    with deployed.client() as client:
        with client.stream("POST", "/engine/generate", content=request.model_dump_json()) as response:
            lines = response.iter_lines()
            assert json.loads(next(lines))["type"] == "prompt"
            assert json.loads(next(lines))["type"] == "text"
            assert _stats(client).running == 4
        while (after := _stats(client)).running:
            assert after.generated_tokens < 4 * 8000
        made = _stats(client).generated_tokens
        assert made < 4 * 8000, "the request ran to its end"
        assert _stats(client).generated_tokens == made


def test_the_requests_of_an_adapter_go_to_one_replica_which_alone_loads_it(
    deployed: Deployed, tmp_path: Path
) -> None:
    adapters = [
        publish_lora(
            deployed.store, deployed.base, tmp_path / f"spread-{seed}", seed=seed, target_modules="all-linear"
        )
        for seed in range(4)
    ]
    models = [ModelRef(base=deployed.base, adapter=adapter) for adapter in adapters]
    answered: dict[str, set[str]] = {model.name: set() for model in models}
    loaded: dict[str, list[str]] = {}
    with deployed.client() as client:
        for round_ in range(3):
            for number, model in enumerate(models):
                request = deployed.request(f"s-{round_}-{number}", max_tokens=2)
                response = client.post(
                    "/spread/generate",
                    content=request.model_copy(update={"model": model}).model_dump_json(),
                    headers={MODEL_HEADER: model.name},
                ).raise_for_status()
                answered[model.name].add(response.headers["replica"])
                stats = client.get("/spread/stats", headers={MODEL_HEADER: model.name}).raise_for_status()
                loaded[stats.headers["replica"]] = EngineStats.model_validate(stats.json()[0]).adapters
    assert {name: len(replicas) for name, replicas in answered.items()} == dict.fromkeys(answered, 1)
    homes = {model.adapter.digest: answered[model.name].pop() for model in models if model.adapter}
    for replica, digests in loaded.items():
        assert {homes[digest] for digest in digests} == {replica}
    assert {digest for digests in loaded.values() for digest in digests} == set(homes)


def test_a_flood_for_one_model_spreads_over_the_replicas(deployed: Deployed) -> None:
    model = ModelRef(base=deployed.base)
    replicas: set[str] = set()
    with deployed.client() as client, ExitStack() as streams:
        # Each request keeps running while the next one is routed.
        for number in range(20):
            request = deployed.request(
                f"flood-{number}", max_tokens=8000, logit_bias={deployed_end(deployed): -100.0}
            )
            response = streams.enter_context(
                client.stream(
                    "POST",
                    "/spread/generate",
                    content=request.model_copy(update={"model": model}).model_dump_json(),
                    headers={MODEL_HEADER: model.name},
                )
            )
            replicas.add(response.raise_for_status().headers["replica"])
    assert len(replicas) > 1


def test_each_base_and_full_fine_tune_has_a_deployment_that_scales_to_zero(
    deployed: Deployed, tmp_path: Path
) -> None:
    full = publish_full(deployed.store, deployed.base, tmp_path / "full", seed=3)
    base, adapted, tuned = (
        ModelRef(base=deployed.base, adapter=adapter) for adapter in (None, deployed.adapter, full)
    )
    absent = ModelRef(base=deployed.base, adapter=WeightsRef(digest="0" * 64, manifest_key="jobs/x/y.json"))

    def ask(model: ModelRef, route: str, number: int = 0) -> httpx2.Response:
        request = deployed.request(f"{route}-{model.name}-{number}", max_tokens=8)
        content = request.model_copy(update={"model": model}).model_dump_json()
        with deployed.client() as client:
            for _ in range(5):
                answer = client.post(
                    f"/{route}/generate", content=content, headers={MODEL_HEADER: model.name}
                )
                # Replicas stop after 2 s here, even during a request; clients retry, as SDKs do.
                if answer.status_code != 503:
                    break
                time.sleep(float(answer.headers["retry-after"]))
        return answer

    models = [base, adapted, tuned, adapted, base, tuned]
    with ThreadPoolExecutor(len(models)) as threads:
        answers = list(threads.map(ask, models, ["owned"] * len(models), range(len(models))))
    own = [name for name in deployed.applications() if name.startswith("model-")]
    assert len(own) == 2
    said = {model.name: _text(answer) for model, answer in zip(models, answers, strict=True)}
    assert [_text(answer) for answer in answers] == [said[model.name] for model in models]
    assert [said[model.name] for model in (base, adapted)] == [
        _text(ask(model, "engine")) for model in (base, adapted)
    ]
    assert len(set(said.values())) == 3
    assert ask(absent, "owned").status_code == 404
    while any(deployed.replicas(name) for name in own):
        time.sleep(0.2)  # Serve's status can only be asked for.
    assert set(own) < set(deployed.applications())


def test_a_deployment_at_zero_replicas_starts_again_and_a_disconnect_frees_its_slots(
    deployed: Deployed,
) -> None:
    request = deployed.request("own-b", max_tokens=8000, logit_bias={deployed_end(deployed): -100.0})
    with deployed.client() as client:
        with client.stream("POST", "/owned/generate", content=request.model_dump_json()) as response:
            lines = response.iter_lines()
            assert json.loads(next(lines))["type"] == "prompt"
            assert json.loads(next(lines))["type"] == "text"
            assert _under_way(client)
        while under_way := _under_way(client):
            assert sum(stats.generated_tokens for stats in under_way) < 8000, "the request ran to its end"


@pytest.mark.thorough
def test_a_hot_adapter_gets_a_deployment_of_its_own_and_answers_the_same(
    deployed: Deployed, tmp_path: Path
) -> None:
    hot = publish_lora(deployed.store, deployed.base, tmp_path / "hot", seed=7, target_modules="all-linear")
    model = ModelRef(base=deployed.base, adapter=hot)

    def ask(client: httpx2.Client, id_: str, **sampling: Any) -> str:
        request = deployed.request(id_, **sampling).model_copy(update={"model": model})
        return _text(client.post("/owned/generate", content=request.model_dump_json()))

    def merged(client: httpx2.Client) -> list[EngineStats]:
        found = [EngineStats.model_validate(one) for one in client.get("/owned/stats").json()]
        # An unmerged adapter would use memory of its own.
        return [one for one in found if one.adapters == [hot.digest] and not one.adapter_bytes]

    with deployed.client() as client:
        before = ask(client, "hot", max_tokens=16)
        ask(client, "heat", max_tokens=250, n=4, logit_bias={deployed_end(deployed): -100.0})
        deadline = time.monotonic() + 300
        while not any(stats.generated_tokens for stats in merged(client)):
            assert ask(client, f"hot-{time.monotonic()}", max_tokens=16) == before
            assert time.monotonic() < deadline
        assert ask(client, "hot-after", max_tokens=16) == before


def deployed_end(deployed: Deployed) -> int:
    """The tiny tokenizer's end of text."""
    return 1


@pytest.mark.parametrize("path", ["/engine/stats", "/datasets/ready", "/datasets/check"])
def test_requests_without_the_clusters_token_are_refused(deployed: Deployed, path: str) -> None:
    with deployed.client("wrong") as client:
        response = client.post(path) if path.endswith("check") else client.get(path)
    assert response.status_code == 401
    assert ErrorEvent.model_validate_json(response.content).code == "invalid_api_key"


def test_an_error_before_the_stream_is_a_status_and_an_error_event(deployed: Deployed) -> None:
    with deployed.client() as client:
        too_long = deployed.request("c", max_tokens=9000).model_dump_json()
        refused = client.post("/engine/generate", content=too_long)
        unread = client.post("/engine/generate", content=b"{}")
        absent = client.post(
            "/engine/ensure",
            content=ModelRef(
                base=deployed.base, adapter=WeightsRef(digest="0" * 64, manifest_key="jobs/x/manifest.json")
            ).model_dump_json(),
        )
    assert refused.status_code == 400
    assert ErrorEvent.model_validate_json(refused.content).error == "ContextLengthExceeded"
    assert unread.status_code == 400
    assert absent.status_code == 404


def test_ensured_adapters_are_in_the_stats(deployed: Deployed) -> None:
    with deployed.client() as client:
        model = ModelRef(base=deployed.base, adapter=deployed.adapter)
        assert client.post("/engine/ensure", content=model.model_dump_json()).json() == {}
        assert _stats(client).adapters == [deployed.adapter.digest]
        assert client.get("/datasets/ready").status_code == 200


def test_ray_serves_what_replicas_measure_to_prometheus(deployed: Deployed) -> None:
    with deployed.client() as client:
        client.post("/engine/generate", content=deployed.request("m", max_tokens=8).model_dump_json())
    deadline = time.monotonic() + 300
    while True:
        page = httpx2.get(deployed.head.metrics_url, trust_env=False).text
        found = {family.name: family for family in text_string_to_metric_families(page)}
        names = {one.name.removesuffix("_total"): one for one in SERVING}
        if names.keys() <= found.keys():
            break
        assert time.monotonic() < deadline, names.keys() - found.keys()
        time.sleep(0.2)  # Ray's nodes collect at intervals.
    for name, metric in names.items():
        assert found[name].type == metric.kind
        samples = [one for one in found[name].samples if one.labels.get("base") == deployed.base.alias]
        assert samples
        assert metric.kind == "gauge" or samples[0].name == metric.name
    tokens = found["ray_tunery_engine_generated_tokens"].samples
    assert sum(one.value for one in tokens) >= 8


def test_the_scheduler_sees_what_is_free_and_asks_for_nodes_until_it_no_longer_does(
    deployed: Deployed,
) -> None:
    view = HttpClusterView(deployed.url, TOKEN, timeout_seconds=60)
    (node,) = view.look([]).nodes
    assert (node.gpus, node.free_gpus, node.is_draining) == (1, 1, False)
    assert 0 < node.free_cpus < node.cpus
    assert node.labels["ray.io/node-id"] == node.node_id

    wanted = WaitingGang(
        name="ftjob-1", device="cuda", workers=3, workers_per_node=2, labels={"pool": "absent"}
    )
    view.look([wanted])
    view.look([wanted])
    assert [group["state"] for group in deployed.groups()] == ["PENDING"]
    view.look([])
    assert deployed.groups() == []

    # It has its nodes, which are left to the job that they came for.
    here = WaitingGang(name="ftjob-2", device="cuda", workers=1, workers_per_node=1)
    deadline = time.monotonic() + 300
    while True:
        # Ray counts a group's GPU as free some time after the group is gone.
        (node,) = view.look([here]).nodes
        if not deployed.groups() and node.free_gpus == 1:
            break
        assert time.monotonic() < deadline, (deployed.groups(), node)
    view.close()


def test_an_encoder_classifies_and_embeds_and_a_decoder_does_neither(
    deployed: Deployed, tmp_path: Path
) -> None:
    encoder = make_family("bert", tmp_path / "base")
    AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "base", num_labels=2, id2label={0: "no", 1: "yes"}
    ).save_pretrained(tmp_path / "tuned")
    tuned = publish_folder(deployed.store, encoder, tmp_path / "tuned", job_id="ftjob-encoder", form="full")
    request = ClassificationRequest(
        id="d",
        model=ModelRef(base=encoder, adapter=tuned),
        inputs=[TextInput(text="hi"), TextInput(text="ho")],
    )
    decoder = request.model_copy(update={"model": ModelRef(base=deployed.base)})
    with deployed.client() as client:
        assert client.post("/engine/ensure", content=request.model.model_dump_json()).json() == {}
        answered = client.post("/engine/classify", content=request.model_dump_json())
        refused = client.post("/engine/classify", content=decoder.model_dump_json())
        base, tuned_one = (
            client.post(
                "/engine/embed",
                content=EmbeddingRequest(
                    id="e", model=model, inputs=[TextInput(text="hi")]
                ).model_dump_json(),
            )
            for model in (ModelRef(base=encoder), request.model)
        )
    answer = ClassificationAnswer.model_validate_json(answered.raise_for_status().content)
    assert answer.classes == ["no", "yes"]
    assert [len(result.logprobs) for result in answer.results] == [1, 1]
    assert refused.status_code == 400
    assert ErrorEvent.model_validate_json(refused.content).code == "not_a_classifier"
    # Only its head is new.
    vectors = [
        EmbeddingAnswer.model_validate_json(one.raise_for_status().content) for one in (base, tuned_one)
    ]
    assert vectors[0] == vectors[1]


def test_a_training_file_is_checked_on_the_cluster(deployed: Deployed) -> None:
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    info = deployed.store.put(file_key("file-1"), (json.dumps(row) + "\n").encode() * 3)
    assert info.sha256 is not None
    wanted = DatasetCheckRequest(base=deployed.base, key=info.key, sha256=info.sha256)
    with deployed.client() as client:
        response = client.post("/datasets/check", content=wanted.model_dump_json())
    found = DatasetCheck.model_validate_json(response.raise_for_status().content)
    assert found.n_examples == 3
    assert found.problems == []
