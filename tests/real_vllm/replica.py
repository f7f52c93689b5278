"""The engine application in a replica of Ray Serve, with the real vLLM."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from cluster.contracts.generation import EngineStats, GenerationRequest, ModelRef, Sampling, TokenPrompt
from tests.cluster.serving.deployment.test_deployment import deploy, events_of
from tests.tiny_base import make_tiny_base

PROMPT = [45, 52, 59, 66, 73]
TOKENS = 12
SERVE_CONFIG: dict[str, Any] = {
    "proxy_location": "HeadOnly",
    "applications": [
        {
            "name": "engine",
            "route_prefix": "/engine",
            "import_path": "cluster.serving.deployment:engine_app",
        }
    ],
}
VLLM = {"TUNERY_ENGINE": "vllm", "VLLM_CPU_KVCACHE_SPACE": "1"}


def test_a_replica_with_vllm_gives_the_same_answer_as_peft(tmp_path: Path) -> None:
    base = make_tiny_base(tmp_path / "base", hidden=128, context_length=256)
    with deploy(tmp_path, base, SERVE_CONFIG, **VLLM) as deployed, deployed.client() as client:
        request = GenerationRequest(
            id="a",
            model=ModelRef(base=base, adapter=deployed.adapter),
            prompt=TokenPrompt(token_ids=PROMPT),
            sampling=Sampling(temperature=0, max_tokens=TOKENS, logprobs=0),
        )
        response = client.post("/engine/generate", content=request.model_dump_json()).raise_for_status()
        (stats,) = client.get("/engine/stats").raise_for_status().json()
    token_ids = [
        token.token_id for event in events_of(response) if event.type == "text" for token in event.tokens
    ]
    assert token_ids == _greedy(tmp_path)[: len(token_ids)]
    assert len(token_ids) > 1
    assert EngineStats.model_validate(stats).adapters == [deployed.adapter.digest]


def _greedy(folder: Path) -> list[int]:
    base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, folder / "adapter").eval()
    with torch.no_grad():
        output = model.generate(torch.tensor([PROMPT]), max_new_tokens=TOKENS, do_sample=False)
    tokens: list[int] = output[0, len(PROMPT) :].tolist()
    return tokens
