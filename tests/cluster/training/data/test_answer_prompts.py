"""The prompts that the publish gate sends to a tuned model."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.hyperparameters import Method, OnOverlength
from cluster.training.data.answer_prompts import PROMPTS, answer_prompts
from cluster.training.data.compiler import compile_file
from cluster.training.data.recipe import Recipe
from tests.chat_templates import CHATML, chat_tokenizer

Rows = list[dict[str, Any]]


def chat(*answers: str) -> dict[str, Any]:
    turns = [
        turn
        for answer in answers
        for turn in ({"role": "user", "content": "hi"}, {"role": "assistant", "content": answer})
    ]
    return {"messages": turns}


@pytest.fixture
def asked(tmp_path: Path) -> Any:
    def ask(
        rows: Rows, method: Method = "supervised", max_length: int = 256, policy: OnOverlength = "error"
    ) -> list[tuple[str, int]]:
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        base = BaseSpec(alias="b", source=BuiltinSource(name="x"), context_length=256, learning_rates={})
        tokenizer = chat_tokenizer(CHATML)
        data = compile_file(path, tokenizer, Recipe(base, method, max_length, policy)).dataset
        assert data is not None
        end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        found = answer_prompts(data, frozenset({end, tokenizer.eos_token_id}))
        return [(tokenizer.decode(prompt.token_ids), prompt.answer_tokens) for prompt in found]

    return ask


def test_examples_with_the_shortest_answers_are_chosen_up_to_the_last_answer(asked: Any) -> None:
    prompts = asked([chat("x" * 9), *[chat("ab", "c")] * PROMPTS])
    assert len(prompts) == PROMPTS
    text, answer_tokens = prompts[0]
    assert text.endswith("assistant\nab<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
    assert answer_tokens == len("c") + 1


def test_truncated_answers_and_unlearned_ends_are_not_chosen(asked: Any) -> None:
    ignored = chat("ab", "c")
    ignored["messages"][-1]["weight"] = 0
    cut = chat("x" * 99)
    prompts = asked([cut, ignored], max_length=80, policy="truncate")
    assert [answer_tokens for _, answer_tokens in prompts] == [len("ab") + 1]


def test_completions_and_preferred_answers_are_chosen_too(asked: Any) -> None:
    assert asked([{"prompt": "say", "completion": "a"}]) == [("say", 2)]
    pair = {
        "input": {"messages": [{"role": "user", "content": "hi"}]},
        "preferred_output": [{"role": "assistant", "content": "abc"}],
        "non_preferred_output": [{"role": "assistant", "content": "b"}],
    }
    assert [answer_tokens for _, answer_tokens in asked([pair], "dpo")] == [len("abc") + 1]
