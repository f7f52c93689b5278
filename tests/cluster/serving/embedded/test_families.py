"""Every family of decoders is served as transformers and PEFT compute it: bases, adapters and mixed
batches."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from cluster.contracts.bases import BaseSpec
from cluster.contracts.generation import TokenPrompt
from cluster.contracts.weights import WeightsRef
from cluster.serving.limits import EngineLimits
from cluster.storage.local import LocalStore
from tests.cluster.serving.conftest import BACKENDS
from tests.cluster.serving.harness import Answer, Served
from tests.cluster.serving.published import publish_full, publish_lora
from tests.families import WINDOW, make_family
from tests.family_support import DECODERS, MERGED, REPRESENTATIVES, excluded
from tests.tiers import sampled

pytestmark = pytest.mark.slow

END = 1
NEW_TOKENS = 16
PROMPTS = [
    [70, 84, 90, 60, 273],
    [45 + 3 * place % 200 for place in range(WINDOW + 14)],
    [100, 101, 300, 44, 52, 97, 210, 33, 150, 161, 270],
]
"""One is longer than the sliding windows; with the generated tokens, all of them are."""
ATTENTION: defaultdict[str, list[str]] = defaultdict(
    lambda: ["q_proj", "k_proj", "v_proj", "o_proj"],
    deepseek_v3=["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "o_proj"],
    jamba=["q_proj", "v_proj", "in_proj", "out_proj"],
    granitemoehybrid=["q_proj", "v_proj", "in_proj"],
)


@dataclass(frozen=True)
class Family:
    served: Served
    folder: Path
    refs: dict[str, WeightsRef | None]

    def reference(self, name: str) -> Any:
        """The model as transformers loads it, with the attention that defines its family."""
        # Transformers' eager Falcon adds the position biases twice.
        attention = None if self.served.base.alias == "falcon-alibi" else "eager"
        folder = self.folder / ("full" if name == "full" else "base")
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=attention
        ).eval()
        return model if name in ("base", "full") else PeftModel.from_pretrained(model, self.folder / name)

    def ask(self, name: str, prompt: list[int], **sampling: Any) -> Any:
        return self.served.request(
            self.refs[name],
            TokenPrompt(token_ids=prompt),
            max_tokens=NEW_TOKENS,
            logprobs=0,
            logit_bias={END: -100.0},
            **sampling,
        )


@pytest.fixture(scope="module", params=sampled(DECODERS, REPRESENTATIVES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    folder = tmp_path_factory.mktemp(request.param)
    spec = make_family(request.param, folder / "base")
    store = LocalStore(folder / "store")
    refs = {
        "base": None,
        "all_linear": _lora(store, spec, folder / "all_linear", seed=1),
        "other": _lora(store, spec, folder / "other", seed=2),
        "full": publish_full(store, spec, folder / "full", seed=3),
    }
    with BACKENDS["embedded"](spec, store, folder / "cache", EngineLimits()) as served:
        yield Family(served, folder, refs)


def _lora(store: LocalStore, spec: BaseSpec, folder: Path, seed: int) -> WeightsRef:
    family = spec.alias.replace("-", "_")
    return publish_lora(
        store,
        spec,
        folder,
        seed=seed,
        r=2 + seed,
        # For PEFT, all-linear includes the experts' fused weights, which are merged.
        target_modules=ATTENTION[family] if family in MERGED else "all-linear",
        exclude_modules=excluded(family),
        # PEFT warns if GPT-2 needs it and it is not set.
        fan_in_fan_out=spec.alias == "gpt2",
    )


def _greedy(model: Any, prompt: list[int]) -> tuple[list[int], list[float]]:
    """Tokens and their log-probabilities from transformers' own generation with its own cache."""
    ids = torch.tensor([prompt])
    made = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        suppress_tokens=[END],
        return_dict_in_generate=True,
        output_logits=True,
    )
    tokens = made.sequences[0, len(prompt) :].tolist()
    logprobs = [
        float(logits[0].float().log_softmax(-1)[token])
        for logits, token in zip(made.logits, tokens, strict=True)
    ]
    return tokens, logprobs


def test_greedy_tokens_are_the_librarys_alone_and_in_a_mixed_batch(family: Family) -> None:
    cases = [(name, prompt) for prompt in PROMPTS for name in family.refs]
    together = family.served.ask_together([family.ask(*case) for case in cases])
    expected = {}
    for name in family.refs:
        model = family.reference(name)
        expected |= {(name, place): _greedy(model, prompt) for place, prompt in enumerate(PROMPTS)}
    for (name, prompt), answer in zip(cases, together, strict=True):
        assert isinstance(answer, Answer), answer
        tokens, logprobs = expected[name, PROMPTS.index(prompt)]
        assert answer.token_ids == tokens, name
        assert answer.logprobs == pytest.approx(logprobs, abs=1e-4)
    assert len({tuple(tokens) for tokens, _ in expected.values()}) > len(family.refs)
    for name in family.refs:
        assert family.served.ask(family.ask(name, PROMPTS[0])).token_ids == expected[name, 0][0]


def test_choices_of_a_prompt_go_on_from_it_each_for_itself(family: Family) -> None:
    alone = family.served.ask(family.ask("all_linear", PROMPTS[0]))
    several = family.served.ask(family.ask("all_linear", PROMPTS[0], n=3))
    for tokens in several.tokens.values():
        assert [token.token_id for token in tokens] == alone.token_ids
    assert len(several.tokens) == 3


def test_an_echoed_prompt_is_scored_as_the_library_scores_it(family: Family) -> None:
    prompt = PROMPTS[1]
    answer = family.served.ask(
        family.served.request(
            family.refs["all_linear"], TokenPrompt(token_ids=prompt), max_tokens=0, echo=True, logprobs=0
        )
    )
    with torch.no_grad():
        logits = family.reference("all_linear")(input_ids=torch.tensor([prompt])).logits[0].float()
    expected = logits.log_softmax(-1)[:-1].gather(-1, torch.tensor(prompt)[1:, None])[:, 0]
    assert answer.prompt is not None
    assert [token.logprob for token in answer.prompt.tokens[1:]] == pytest.approx(expected.tolist(), abs=1e-4)
