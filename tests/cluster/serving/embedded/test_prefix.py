"""Prefix, prompt and P-tuning are served as PEFT computes them, in batches with any other rows."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import ContextLengthExceeded, CorruptArtefact, InvalidRequest
from cluster.contracts.generation import TokenPrompt
from cluster.contracts.weights import WeightsRef
from cluster.serving.embedded.prefix import read_prefix
from cluster.serving.limits import EngineLimits
from cluster.storage.local import LocalStore
from cluster.training.model.prefix import prefix_states
from tests.cluster.serving.conftest import BACKENDS
from tests.cluster.serving.harness import Answer, Served
from tests.cluster.serving.published import publish_folder, publish_lora
from tests.families import WINDOW, make_family
from tests.tiers import sampled

pytestmark = pytest.mark.slow

END = 1
NEW_TOKENS = 20
CONTEXT = 64
CONFIGS: dict[str, Any] = {
    "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=7),
    "projected": PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=16
    ),
    "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "p_tuning": PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=5, encoder_hidden_size=16),
}
PROMPTS = [[70, 84, 90, 60, 273], list(range(100, 100 + WINDOW + 4))]


@dataclass(frozen=True)
class Prefixed:
    served: Served
    folder: Path
    refs: dict[str, WeightsRef | None]

    def reference(self, name: str) -> Any:
        model = AutoModelForCausalLM.from_pretrained(self.folder / "base", dtype=torch.float32)
        return model if name == "base" else PeftModel.from_pretrained(model, self.folder / name).eval()

    def ask(self, name: str, prompt: list[int], **sampling: Any) -> Any:
        options = {"max_tokens": NEW_TOKENS, "logprobs": 0, "logit_bias": {END: -100.0}} | sampling
        return self.served.request(self.refs[name], TokenPrompt(token_ids=prompt), **options)


@pytest.fixture(scope="module", params=sampled(["llama", "qwen3", "gpt2"], ["qwen3"]))
def prefixed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefixed]:
    folder = tmp_path_factory.mktemp(request.param)
    spec = make_family(request.param, folder / "base", context_length=CONTEXT)
    store = LocalStore(folder / "store")
    refs: dict[str, WeightsRef | None] = {"base": None}
    refs |= {name: _publish(store, spec, folder / name, config) for name, config in CONFIGS.items()}
    layers = ["c_attn", "c_fc"] if request.param == "gpt2" else "all-linear"
    refs["lora"] = publish_lora(
        store, spec, folder / "lora", seed=2, target_modules=layers, fan_in_fan_out=layers != "all-linear"
    )
    with BACKENDS["embedded"](spec, store, folder / "cache", EngineLimits()) as served:
        yield Prefixed(served, folder, refs)


def _publish(store: LocalStore, spec: BaseSpec, folder: Path, config: Any) -> WeightsRef:
    model = AutoModelForCausalLM.from_pretrained(base_folder(spec), dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        peft_model = get_peft_model(model, copy.deepcopy(config))
        for parameter in peft_model.prompt_encoder.parameters():
            torch.nn.init.normal_(parameter, std=1.0)
    peft_model.save_pretrained(folder)
    save_file(prefix_states(peft_model), folder / "prefix.safetensors")
    return publish_folder(store, spec, folder, job_id=f"ftjob-{folder.name}", form="prefix")


def _greedy(model: Any, prompt: list[int]) -> list[int]:
    ids = torch.tensor([prompt])
    made = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        suppress_tokens=[END],
    )
    tokens: list[int] = made[0].tolist()
    return tokens[-NEW_TOKENS:]


@pytest.mark.filterwarnings("ignore:Position ids are not supported")
def test_greedy_tokens_are_pefts_alone_and_in_a_mixed_batch(prefixed: Prefixed) -> None:
    cases = [(name, prompt) for prompt in PROMPTS for name in prefixed.refs]
    together = prefixed.served.ask_together([prefixed.ask(*case) for case in cases])
    said = set()
    for (name, prompt), answer in zip(cases, together, strict=True):
        assert isinstance(answer, Answer), answer
        assert answer.token_ids == _greedy(prefixed.reference(name), prompt), name
        said.add(tuple(answer.token_ids))
        assert answer.prompt is not None
        assert answer.prompt.prompt_tokens == len(prompt)
    assert len(said) > len(PROMPTS) * len(CONFIGS)
    for name in prefixed.refs:
        alone = prefixed.served.ask(prefixed.ask(name, PROMPTS[1]))
        assert alone.token_ids == together[cases.index((name, PROMPTS[1]))].token_ids  # type: ignore[union-attr]


@pytest.mark.parametrize("name", CONFIGS)
def test_an_echoed_prompt_is_scored_as_peft_scores_it(prefixed: Prefixed, name: str) -> None:
    prompt = PROMPTS[1]
    answer = prefixed.served.ask(prefixed.ask(name, prompt, max_tokens=0, echo=True))
    with torch.no_grad():
        logits = prefixed.reference(name)(input_ids=torch.tensor([prompt])).logits[0, -len(prompt) :].float()
    expected = logits.log_softmax(-1)[:-1].gather(-1, torch.tensor(prompt)[1:, None])[:, 0]
    assert answer.prompt is not None
    assert [token.logprob for token in answer.prompt.tokens[1:]] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_reloaded_model_leaves_the_same_states(prefixed: Prefixed, name: str) -> None:
    saved = load_file(prefixed.folder / name / "prefix.safetensors")
    found = prefix_states(prefixed.reference(name))
    assert found.keys() == saved.keys()
    for place, state in found.items():
        torch.testing.assert_close(state, saved[place])


def test_virtual_tokens_take_their_share_of_the_context(prefixed: Prefixed) -> None:
    room = CONTEXT - CONFIGS["prefix"].num_virtual_tokens
    whole = prefixed.served.ask(prefixed.ask("prefix", PROMPTS[0], max_tokens=None))
    assert whole.finishes[0].completion_tokens == room - len(PROMPTS[0])
    too_long = rf"maximum context length is {room} tokens, .*\. Its prefix takes 7 tokens of the context\.$"
    with pytest.raises(ContextLengthExceeded, match=too_long):
        prefixed.served.ask(prefixed.ask("prefix", PROMPTS[0], max_tokens=room - 4))
    prefixed.served.ask(prefixed.ask("base", PROMPTS[0], max_tokens=room - 4))


LAYERS = [(2, 8, 8), (2, 8, 8)]


def _read(folder: Path, states: dict[str, torch.Tensor]) -> None:
    save_file(states, folder / "prefix.safetensors")
    read_prefix(folder, "d", LAYERS, torch.device("cpu"))


def test_a_prefix_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    states = {f"{half}.{layer}": torch.zeros(2, 5, 8) for half in ("keys", "values") for layer in range(2)}
    _read(tmp_path, states)
    for change in (
        {"keys.1": torch.zeros(2, 4, 8)},
        {"values.0": torch.zeros(3, 5, 8)},
        {"keys.0": torch.zeros(5, 8)},
        {"keys.2": torch.zeros(2, 5, 8)},
        {name: torch.zeros(2, 0, 8) for name in states},
    ):
        with pytest.raises(InvalidRequest, match="this base needs"):
            _read(tmp_path, states | change)
    with pytest.raises(InvalidRequest, match="this base needs"):
        _read(tmp_path, {"keys.0": states["keys.0"]})
    with pytest.raises(CorruptArtefact, match="not finite"):
        _read(tmp_path, states | {"values.1": torch.full((2, 5, 8), float("nan"))})
    (tmp_path / "prefix.safetensors").write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(CorruptArtefact, match="cannot be read"):
        read_prefix(tmp_path, "d", LAYERS, torch.device("cpu"))
