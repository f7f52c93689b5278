"""GGUF exports in llama.cpp itself, of which the wheel `xllamacpp` holds a build: `make test-llama-cpp`."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
import xllamacpp
from transformers import AutoTokenizer

from cluster.contracts.bases import BaseSpec
from cluster.contracts.exports import Quantization
from cluster.storage.local import LocalStore
from tests.cluster.exporting.models import adapted, export, logits, plain, stored_model
from tests.cluster.exporting.test_gguf import MODELS, TOKENS, make_model
from tests.cluster.exporting.tokenizer_kinds import KINDS, TEXTS, make_tokenizer

PROMPTS = [TOKENS, list(range(60, 8, -1)), list(range(200, 260)), list(range(100, 130))]


def serve(base: BaseSpec, model: Any, folder: Path, quantization: Quantization, **options: Any) -> Any:
    store = LocalStore(folder / "store")
    weights = stored_model(store, base, model, folder / "mine", **options)
    export(store, base, weights, folder / "gguf", quantization=quantization)
    params = xllamacpp.CommonParams()
    params.model.path = str(next((folder / "gguf").iterdir()))
    params.n_ctx, params.n_parallel, params.port = 256, 1, 0
    params.warmup = params.fit_params = False
    params.verbosity = -1
    params.cpuparams.n_threads = 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    return xllamacpp.Server(params)


def likeliest(server: Any, prompt: list[int]) -> dict[int, float]:
    """Log-probabilities of the five likeliest next tokens. Empty if the likeliest is no text."""
    body = {"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 5, "cache_prompt": False}
    answer = server.handle_completions(body)
    choice = (json.loads(answer) if isinstance(answer, str) else answer)["choices"][0]
    content = (choice["logprobs"] or {"content": []})["content"]
    return {one["id"]: one["logprob"] for one in content[0]["top_logprobs"]} if content else {}


def check_answers(server: Any, model: Any, tolerance: float) -> None:
    compared = 0
    for prompt in PROMPTS:
        expected = torch.log_softmax(logits(model, prompt)[-1], -1)
        for token, logprob in likeliest(server, prompt).items():
            assert logprob == pytest.approx(float(expected[token]), abs=tolerance)
            compared += 1
    assert compared >= 5


@pytest.mark.parametrize("name", MODELS)
def test_llama_cpp_computes_what_transformers_does(tmp_path: Path, name: str) -> None:
    """Texts longer than the sliding windows, which have 16 tokens in Gemma."""
    base = make_model(name, tmp_path / "base")
    model = plain(base)
    check_answers(serve(base, model, tmp_path, "f16", form="full"), model, 0.01)


@pytest.mark.parametrize(("quantization", "tolerance"), [("f16", 0.01), ("bf16", 0.1), ("q8_0", 0.1)])
def test_llama_cpp_computes_what_the_adapter_does_on_its_base(
    tmp_path: Path, quantization: Quantization, tolerance: float
) -> None:
    base = make_model("llama", tmp_path / "base")
    model = adapted(plain(base))
    check_answers(serve(base, model, tmp_path, quantization), model, tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_reads_the_same_tokens(tmp_path: Path, kind: str) -> None:
    tokenizer = make_tokenizer(kind)
    base = make_model("llama", tmp_path / "base", vocab_size=len(tokenizer) + 3)
    tokenizer.save_pretrained(tmp_path / "base")
    server = serve(base, plain(base), tmp_path, "f16", form="full")
    own = AutoTokenizer.from_pretrained(tmp_path / "base")
    for text in TEXTS:
        body = json.dumps({"content": text, "add_special": True, "parse_special": True}).encode()
        request = urllib.request.Request(
            f"{server.listening_address}/tokenize", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["tokens"] == own(text)["input_ids"], text
