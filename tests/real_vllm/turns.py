"""Jobs and models take turns on the only GPU, which Ray pretends to have, with the real vLLM."""

import json
import sys
import time
from pathlib import Path

import httpx2

from cluster.contracts.generation import GenerationRequest, ModelRef, Sampling, TokenPrompt
from tests.cluster.serving.deployment.test_deployment import Deployed, deploy, events_of
from tests.real_vllm.replica import PROMPT, SERVE_CONFIG, TOKENS, VLLM
from tests.tiny_base import make_tiny_base

POOL = {"kind": "cuda", "devices": 1, "device_bytes": "4GB"}
TURNS = {
    **VLLM,
    "TUNERY_SERVING_POOLS": json.dumps([POOL]),
    "TUNERY_VLLM_PYTHON": sys.executable,
    "TUNERY_ENGINE_LORA_RANK": "16",
}


def test_a_job_and_a_model_of_vllm_take_turns_on_one_gpu(tmp_path: Path) -> None:
    base = make_tiny_base(tmp_path / "base", hidden=128, context_length=256)
    with deploy(tmp_path, base, SERVE_CONFIG, **TURNS) as deployed, deployed.client() as client:
        first = tokens_of(ask(client, deployed, "first"))
        assert first
        (name,) = own(deployed)
        (deployment,) = deployed.applications()[name]["deployments"].values()
        assert deployment["deployment_config"]["ray_actor_options"]["num_gpus"] == 1

        while not claim(client, 1):
            time.sleep(0.5)  # The scheduler asks again in its next round, too.
        assert own(deployed) == []
        refused = ask(client, deployed, "refused")
        assert (refused.status_code, refused.json()["code"]) == (503, "gpu_in_use")

        assert claim(client, 0)
        assert tokens_of(ask(client, deployed, "again")) == first


def ask(client: httpx2.Client, deployed: Deployed, id_: str) -> httpx2.Response:
    request = GenerationRequest(
        id=id_,
        model=ModelRef(base=deployed.base, adapter=deployed.adapter),
        prompt=TokenPrompt(token_ids=PROMPT),
        sampling=Sampling(temperature=0, max_tokens=TOKENS, logprobs=0),
    )
    return client.post("/engine/generate", content=request.model_dump_json())


def tokens_of(response: httpx2.Response) -> list[int]:
    assert response.is_success, response.text
    events = events_of(response)
    return [token.token_id for event in events if event.type == "text" for token in event.tokens]


def claim(client: httpx2.Client, devices: int) -> bool:
    body = {"devices": devices, "idle_seconds": 0}
    return bool(
        client.post("/engine/devices", content=json.dumps(body)).raise_for_status().json()["is_granted"]
    )


def own(deployed: Deployed) -> list[str]:
    """The applications of models that have the GPU."""
    return [name for name in deployed.applications() if name.endswith("-gpus-1")]
