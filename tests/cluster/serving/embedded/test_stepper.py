"""How prompts of all lengths alternate with each other and with decoding, on a runner that only counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.bases import BaseSpec, FolderSource
from cluster.contracts.errors import InvalidRequest, TuneryError
from cluster.contracts.generation import (
    FinishEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    Sampling,
    TextEvent,
    TokenPrompt,
)
from cluster.serving.embedded.request import Request
from cluster.serving.embedded.runner import Prefill
from cluster.serving.embedded.stepper import Stepper
from cluster.serving.limits import EngineLimits
from cluster.serving.text.grammar import Grammar
from cluster.serving.text.guidance import Guidance, Guide
from cluster.serving.text.prompts import TokenizedPrompt
from cluster.serving.weights.adapter import Adapter, Prefix
from tests.tiny_base import make_tokenizer

pytestmark = pytest.mark.slow

BASE = BaseSpec(alias="fake", source=FolderSource(path="-"), context_length=999, learning_rates={"lora": 1.0})
BUDGET = 16
VOCABULARY = Vocabulary(make_tokenizer())
STOP_TOKENS = frozenset({1})


@dataclass
class CountingRunner:
    """Always generates token 70."""

    num_embeddings = 352
    passes: list[tuple[list[int], int]] = field(default_factory=list)
    """Prefills: the lengths of the prompts, and the tokens of each that were run."""
    rows: int = 0

    def start(self, prompts: Sequence[list[int]], adapters: Sequence[Adapter | None]) -> Prefill:
        assert len({adapter and adapter.digest for adapter in adapters}) == 1, "one prefix for all"
        lengths = [len(prompt) for prompt in prompts]
        return Prefill(torch.zeros(len(prompts), max(lengths)), lengths, list(adapters), None)

    def prefill(self, prefill: Prefill, num_tokens: int, *, keeps_all: bool) -> Tensor:
        assert not prefill.is_done
        num_tokens = min(num_tokens, prefill.num_left)
        prefill.done += num_tokens
        self.passes.append((prefill.lengths, num_tokens))
        return self._says(num_tokens)[None] if keeps_all else self._says(len(prefill.lengths))

    def add_row(self, prefill: Prefill, row: int) -> None:
        assert prefill.is_done
        self.rows += 1

    def decode(self, tokens: Sequence[int]) -> Tensor:
        assert len(tokens) <= self.rows
        return self._says(len(tokens))

    def swap(self, row: int, other: int) -> None: ...

    def release(self, row: int) -> None:
        self.rows -= 1

    def clear(self) -> None:
        self.rows = 0

    def _says(self, rows: int) -> Tensor:
        return torch.eye(self.num_embeddings)[[70] * rows]


class Steps:
    """A stepper and its outputs; `tokens` counts by request."""

    def __init__(self, slots: int = 8) -> None:
        self.runner = CountingRunner()
        self.now = 0.0
        self.stepper = Stepper(
            self.runner,
            VOCABULARY,
            stop_tokens=STOP_TOKENS,
            limits=EngineLimits(slots=slots, prefill_tokens=BUDGET),
            clock=lambda: self.now,
        )
        self.tokens: dict[str, int] = {}
        self.scores: dict[str, int] = {}
        self.finished: set[str] = set()
        self.errors: dict[str, TuneryError] = {}

    def add(
        self,
        name: str,
        length: int,
        *,
        max_tokens: int = 50,
        tenant: str = "",
        adapter: Adapter | None = None,
        guide: Guide | None = None,
        **sampling: bool,
    ) -> None:
        request = GenerationRequest(
            id=name,
            tenant=tenant,
            model=ModelRef(base=BASE),
            prompt=TokenPrompt(token_ids=[9] * length),
            sampling=Sampling(temperature=0, **sampling),
        )
        prompt = TokenizedPrompt([9] * length, "", max_tokens, None, None)
        self.stepper.add(Request(request, prompt, adapter, 0, guide))

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.stepper.prefill()
            self.stepper.decode()
            for request, output in self.stepper.take_outputs():
                match output:
                    case TextEvent():
                        self.tokens[request.id] = self.tokens.get(request.id, 0) + 1
                    case PromptEvent():
                        self.scores[request.id] = len(output.tokens)
                    case FinishEvent():
                        self.finished.add(request.id)
                    case TuneryError():
                        self.errors[request.id] = output


def test_a_short_prompt_does_not_wait_behind_a_long_one() -> None:
    steps = Steps()
    steps.add("long", 10 * BUDGET)
    steps.step(2)
    steps.add("short", 5)
    steps.step()
    assert "short" in steps.tokens
    steps.step(10)
    assert "long" in steps.tokens


def test_the_shorter_of_two_long_prompts_overtakes_too() -> None:
    steps = Steps()
    steps.add("long", 20 * BUDGET)
    steps.step()
    steps.add("shorter", 3 * BUDGET)
    steps.add("short", 3)
    steps.step(2)
    assert set(steps.tokens) == {"short"}
    steps.step(5)
    assert set(steps.tokens) == {"short", "shorter"}


def test_equally_long_prompts_are_prefilled_one_after_the_other() -> None:
    steps = Steps()
    steps.add("first", 4 * BUDGET)
    steps.add("second", 4 * BUDGET)
    steps.step(4)
    assert set(steps.tokens) == {"first"}
    steps.step(4)
    assert set(steps.tokens) == {"first", "second"}


def test_a_first_token_waits_neither_for_other_rows_nor_for_a_floods_prompts() -> None:
    steps = Steps()
    for place in range(4):
        steps.add(f"flood-{place}", 2, tenant="flood")
    steps.step()
    steps.add("flood-4", 3, tenant="flood")
    steps.add("quiet", 2, tenant="quiet")
    steps.runner.passes.clear()
    steps.stepper.prefill()
    assert steps.runner.passes == [([2], 2)]
    said = [request.id for request, output in steps.stepper.take_outputs() if isinstance(output, TextEvent)]
    assert said == ["quiet"]


def test_the_cost_of_delivering_tokens_is_charged_to_their_tenant() -> None:
    steps = Steps()
    for place in range(6):
        steps.add(f"flood-{place}", 2, max_tokens=200, tenant="flood")
    steps.add("quiet", 2, max_tokens=200, tenant="quiet")
    steps.step(2)
    began, flood, quiet = steps.now, steps.tokens["flood-0"], steps.tokens["quiet"]
    for _ in range(100):
        before = sum(steps.tokens.values())
        steps.step()
        steps.now += 2.0 + sum(steps.tokens.values()) - before  # for a step itself the clock stands still
    assert steps.tokens["quiet"] - quiet == 100
    assert (steps.now - began) / 100 <= 1.4 * 3.0
    assert (steps.tokens["flood-0"] - flood) * 9.0 >= 0.22 * (steps.now - began)


def test_every_step_decodes_while_prompts_are_prefilled() -> None:
    steps = Steps()
    steps.add("running", 3)
    steps.step()
    begun = steps.tokens["running"]
    steps.add("long", 10 * BUDGET)
    for step in range(1, 10):
        steps.step()
        assert steps.tokens["running"] == begun + step
    assert "long" not in steps.tokens


def test_a_flood_of_short_prompts_leaves_the_long_one_half_of_the_budget() -> None:
    steps = Steps(slots=999)
    steps.add("long", 10 * BUDGET)
    for step in range(1 + 2 * 9):
        assert "long" not in steps.tokens
        for number in range(4):
            steps.add(f"short-{step}-{number}", 4)
        steps.step()
    assert "long" in steps.tokens


def test_a_step_prefills_no_more_than_its_budget() -> None:
    steps = Steps(slots=99)
    for number, length in enumerate((3, 70, 11, 16, 5, 40, 2, 2, 9, 30)):
        steps.add(str(number), length)
        steps.runner.passes.clear()
        steps.step()
        assert sum(len(lengths) * run for lengths, run in steps.runner.passes) <= BUDGET


def test_a_cancelled_prompt_frees_its_place_and_the_others_go_on() -> None:
    steps = Steps(slots=2)
    steps.add("long", 50 * BUDGET)
    steps.step()
    steps.add("shorter", 4 * BUDGET)
    steps.step()
    assert steps.stepper.num_running == 2
    steps.stepper.cancel("long")
    assert steps.stepper.num_running == 1
    steps.runner.passes.clear()
    steps.step(4)
    assert {tuple(lengths) for lengths, _ in steps.runner.passes} == {(4 * BUDGET,)}
    assert set(steps.tokens) == {"shorter"}


def test_a_prompt_with_another_prefix_is_prefilled_in_a_group_of_its_own() -> None:
    prefix = Prefix([torch.zeros(1, 2, 4)], [torch.zeros(1, 2, 4)])
    steps = Steps()
    steps.add("long", 10 * BUDGET)
    steps.step()
    steps.runner.passes.clear()
    steps.add("p", 3, adapter=Adapter("p", prefix=prefix))
    steps.add("q", 3, adapter=Adapter("q", prefix=prefix))
    steps.step()
    assert steps.runner.passes == [([3], 3), ([3], 3), ([10 * BUDGET], BUDGET - 6)]
    assert set(steps.tokens) == {"p", "q"}


@pytest.mark.parametrize("max_tokens", [0, 5])
def test_a_scored_prompt_is_scored_completely_while_others_overtake(max_tokens: int) -> None:
    steps = Steps()
    steps.add("scored", 5 * BUDGET, max_tokens=max_tokens, echo=True, logprobs=0)
    for number in range(9):
        steps.step()
        steps.add(f"short-{number}", 4)
        assert "scored" not in steps.scores or number > 4
    assert steps.scores["scored"] == 5 * BUDGET
    assert len(steps.tokens) >= 8


def test_a_grammar_that_leads_to_an_end_where_it_may_not_end_fails_its_request_alone() -> None:
    guidance = Guidance(VOCABULARY, num_tokens=CountingRunner.num_embeddings, stop_tokens=STOP_TOKENS)
    grammar = Grammar('%llguidance {"no_forcing": true}\nstart: "a" <[1]> "b"\n', "tools")
    steps = Steps()
    steps.add("wrong", 3, guide=guidance.start(grammar))
    steps.add("other", 3)
    steps.step(3)
    assert isinstance(steps.errors["wrong"], InvalidRequest)
    assert steps.errors.keys() == {"wrong"}
    steps.step()
    assert steps.tokens["other"] == 5
    assert steps.stepper.num_running == 1
