"""The engine serves what the trainer writes, as the publish gate checks."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec, WeightsForm
from cluster.contracts.data_report import StoredFile
from cluster.contracts.errors import InvalidConfiguration
from cluster.contracts.generation import ChatPrompt, TokenPrompt
from cluster.contracts.imports import CONFIG_FILE, WEIGHTS_FILE, ImportRequest
from cluster.contracts.jobs import Finished
from cluster.contracts.manifest import Manifest
from cluster.contracts.weights import WeightsRef
from cluster.storage.local import LocalStore
from cluster.training.importing.adapter import import_adapter
from tests.chat_templates import CHATML, MARKED_WITHOUT_END, PLAIN_LINES
from tests.cluster.serving.conftest import Serve
from tests.cluster.training.recording import record_job
from tests.tiny_base import make_tiny_base

pytestmark = pytest.mark.slow

WAYS: list[tuple[dict[str, Any], WeightsForm]] = [
    ({"type": "lora"}, "lora"),
    ({"type": "lora", "use_rslora": True}, "lora"),
    ({"type": "lora", "use_dora": True}, "full"),
    ({"type": "full"}, "full"),
    ({"type": "peft", "peft_config": {"peft_type": "LOHA", "r": 4}}, "full"),
]


@dataclass(frozen=True)
class Trained:
    """A base, the store, and the end of a job in it."""

    base: BaseSpec
    store: LocalStore
    end: Finished

    @property
    def manifest(self) -> Manifest:
        return Manifest.model_validate_json(self.store.get(self.end.manifest_key))

    @property
    def weights(self) -> WeightsRef:
        return self.end.weights


Train = Callable[..., Trained]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains with these options on a tiny base with those, once for all backends."""

    @cache
    def trained(options: str, base_options: str, n_epochs: int) -> Trained:
        folder = tmp_path_factory.mktemp("trained")
        base = make_tiny_base(folder / "base", **json.loads(base_options))
        store = LocalStore(folder / "store")
        return Trained(base, store, _trained(base, store, json.loads(options), n_epochs=n_epochs))

    def train(options: dict[str, Any], *, n_epochs: int = 2, **base_options: Any) -> Trained:
        return trained(json.dumps(options), json.dumps(base_options), n_epochs)

    return train


@pytest.mark.parametrize(("options", "form"), WAYS, ids=["lora", "rslora", "dora", "full", "loha"])
def test_a_checkpoint_is_served_with_the_trainers_own_probabilities(
    serve: Serve, train: Train, options: dict[str, Any], form: WeightsForm
) -> None:
    _check_served(serve, train(options), form)


@pytest.mark.parametrize("serve", ["embedded"], indirect=True)
def test_learned_positions_are_served_before_every_prompt(serve: Serve, tmp_path: Path) -> None:
    """On the embedded engine only; vLLM refuses prefixes."""
    way = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}
    base = make_tiny_base(tmp_path / "base")
    _check(serve, base, tmp_path, {"type": "peft", "peft_config": way}, "prefix")


def test_a_qlora_adapter_is_served_beside_the_base_in_full_precision(serve: Serve, train: Train) -> None:
    """Quantization works on blocks of 64 weights."""
    _check_served(serve, train({"type": "qlora"}, hidden=64), "lora")


@pytest.mark.parametrize("serve", ["embedded"], indirect=True)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_qlora_adapter_is_served_on_four_bits_if_configured(
    serve: Serve, tmp_path: Path, dtype: str
) -> None:
    """On the base in full precision, whose own answers do not change."""
    base = make_tiny_base(tmp_path / "base", hidden=64, dtype=dtype)
    base = base.model_copy(update={"qlora_served_on": "four_bits"})
    _check(serve, base, tmp_path, {"type": "qlora"}, "qlora", within=1e-5 if dtype == "float32" else 0.1)


@pytest.mark.parametrize("serve", ["vllm"], indirect=True)
def test_vllm_refuses_an_adapter_that_is_served_on_four_bits(serve: Serve, tmp_path: Path) -> None:
    base = make_tiny_base(tmp_path / "base", hidden=64).model_copy(update={"qlora_served_on": "four_bits"})
    with pytest.raises(InvalidConfiguration, match=r"no base in 4 bits.*qlora_served_on"):
        _check(serve, base, tmp_path, {"type": "qlora"}, "qlora")


@pytest.mark.parametrize("template", [CHATML, MARKED_WITHOUT_END, PLAIN_LINES])
def test_a_tuned_model_stops_where_it_was_trained_to(serve: Serve, train: Train, template: str) -> None:
    """Turns end with a token that is not the end of text, outside the template's marks, or with none."""
    template = template.replace("<|im_start|>", "<|user|>").replace("<|im_end|>", "<|tool|>")
    trained = train({"type": "full"}, n_epochs=25, chat_template=template)
    assert trained.manifest.answer_prompts
    served = serve(base=trained.base, store=trained.store)
    prompts = [TokenPrompt(token_ids=prompt.token_ids) for prompt in trained.manifest.answer_prompts]
    chat = ChatPrompt(messages=[{"role": "user", "content": "Say 3."}])
    for prompt in (chat, *prompts):
        answer = served.ask(served.request(trained.weights, prompt, max_tokens=40, temperature=0))
        assert answer.finishes[0].reason == "stop"
        assert answer.text.startswith("Fox")


@pytest.mark.parametrize("serve", ["embedded"], indirect=True)
def test_an_imported_adapter_is_served_as_peft_computes_it(serve: Serve, tmp_path: Path) -> None:
    base, store = make_tiny_base(tmp_path / "base"), LocalStore(tmp_path / "store")
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base_folder(base))
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(tmp_path / "mine")
    files = []
    for number, name in enumerate((CONFIG_FILE, WEIGHTS_FILE)):
        stored = store.upload(f"files/file-{number}", tmp_path / "mine" / name)
        files.append(StoredFile(key=stored.key, sha256=stored.sha256 or ""))
    request = ImportRequest(import_id="modelimport-1", base=base, config=files[0], weights=files[1])
    imported = import_adapter(request, store)
    row = torch.tensor(imported.rows)
    with torch.inference_mode():
        logprobs = adapted.eval()(input_ids=row).logits[0, :-1].log_softmax(-1)
    expected = logprobs.gather(-1, row[0, 1:, None])[:, 0].tolist()
    served = serve(base=base, store=store)
    prompt = TokenPrompt(token_ids=imported.rows[0])
    answer = served.ask(served.request(imported.weights, prompt, echo=True, logprobs=0, max_tokens=0))
    assert answer.prompt is not None
    assert [token.logprob for token in answer.prompt.tokens][1:] == pytest.approx(expected, abs=1e-4)


def _check(
    serve: Serve,
    base: BaseSpec,
    folder: Path,
    options: dict[str, Any],
    form: WeightsForm,
    *,
    within: float = 1e-5,
) -> None:
    store = LocalStore(folder / "store")
    _check_served(serve, Trained(base, store, _trained(base, store, options)), form, within=within)


def _check_served(serve: Serve, trained: Trained, form: WeightsForm, *, within: float = 1e-5) -> None:
    assert trained.end.form == form
    probe = trained.manifest.probe
    assert probe.token_ids
    served = serve(base=trained.base, store=trained.store)

    def score(adapter: WeightsRef | None, row: list[int]) -> list[float | None]:
        prompt = TokenPrompt(token_ids=row)
        answer = served.ask(served.request(adapter, prompt, echo=True, logprobs=0, max_tokens=0))
        assert answer.prompt is not None
        return [token.logprob for token in answer.prompt.tokens][1:]

    for row, expected in zip(probe.token_ids, probe.logprobs, strict=True):
        assert score(trained.weights, row) == pytest.approx(expected, abs=within)
        assert score(None, row) != pytest.approx(expected, abs=1e-2), "the base itself says something else"


def _trained(base: BaseSpec, store: LocalStore, options: dict[str, Any], *, n_epochs: int = 2) -> Finished:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Say {n}."},
                {"role": "assistant", "content": f"Fox {n}."},
            ]
        }
        for n in range(12)
    ]
    content = "\n".join(map(json.dumps, rows)).encode()
    end = record_job(base, store, content, options, n_epochs=n_epochs).result
    assert isinstance(end, Finished)
    return end
