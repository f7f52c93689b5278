"""The engine application in a replica of Ray Serve, with the real vLLM inside."""

import os
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from cluster.contracts.generation import EngineStats, GenerationRequest, ModelRef, Sampling, TokenPrompt
from cluster.storage.local import LocalStore
from tests.cluster.serving.published import publish_lora
from tests.cluster.serving.test_deployment import TOKEN, Deployed, catalogue_of, events_of
from tests.ray_head import free_ports, ray_head
from tests.tiny_base import make_tiny_base

PROMPT = [45, 52, 59, 66, 73]
TOKENS = 12


def test_a_replica_answers_with_vllm_as_peft_does(tmp_path: Path) -> None:
    base = make_tiny_base(tmp_path / "base", hidden=128, context_length=256)
    store = LocalStore(tmp_path / "store")
    adapter = publish_lora(store, base, tmp_path / "adapter", seed=1, r=4, target_modules="all-linear")
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text(catalogue_of(base))
    (port,) = free_ports(1)
    environment = {
        "TUNERY_ENGINE": "vllm",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "TUNERY_CLUSTER_TOKEN": TOKEN,
        "TUNERY_STORAGE_URL": f"file://{tmp_path / 'store'}",
        "TUNERY_CACHE_DIR": str(tmp_path / "cache"),
        "TUNERY_CATALOGUE": str(catalogue),
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
    }
    application = {
        "name": "engine",
        "route_prefix": "/engine",
        "import_path": "cluster.serving.deployment:engine_app",
    }
    with ray_head(tmp_path, environment) as head:
        head.deploy(
            {
                "proxy_location": "HeadOnly",
                "http_options": {"host": "127.0.0.1", "port": port},
                "applications": [application],
            }
        )
        deployed = Deployed(f"http://127.0.0.1:{port}", base, adapter, store, head)
        with deployed.client() as client:
            request = GenerationRequest(
                id="a",
                model=ModelRef(base=base, adapter=adapter),
                prompt=TokenPrompt(token_ids=PROMPT),
                sampling=Sampling(temperature=0, max_tokens=TOKENS, logprobs=0),
            )
            answer = client.post("/engine/generate", content=request.model_dump_json()).raise_for_status()
            (stats,) = client.get("/engine/stats").raise_for_status().json()
    made = [token.token_id for event in events_of(answer) if event.type == "text" for token in event.tokens]
    assert made == _greedy(tmp_path)[: len(made)]
    assert len(made) > 1
    assert EngineStats.model_validate(stats).adapters == [adapter.digest]


def _greedy(folder: Path) -> list[int]:
    base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, folder / "adapter").eval()
    with torch.no_grad():
        made = model.generate(torch.tensor([PROMPT]), max_new_tokens=TOKENS, do_sample=False)
    tokens: list[int] = made[0, len(PROMPT) :].tolist()
    return tokens
