"""The built-in tiny model: its weights, tokenizer, template, data and committed scores."""

import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.bases.tiny.recipe import words
from cluster.bases.tiny.recipe.chat import Chat
from cluster.bases.tiny.recipe.encoding import encode_chats
from cluster.bases.tiny.recipe.export import WEIGHTS, to_llama
from cluster.bases.tiny.recipe.heldout import RESERVED, rewriting_examples, sorting_examples
from cluster.bases.tiny.recipe.network import TinyLlama, rotation
from cluster.bases.tiny.recipe.shape import VOCAB
from cluster.bases.tiny.recipe.tasks import MIX, pretraining_chats

TOOLS = [
    {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}
]
CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"city": "Łódź"}'}}
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "user": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi!"}],
    "system": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "And 11 + 11?"},
        {"role": "assistant", "content": "22"},
    ],
    "tools": [
        {"role": "user", "content": [{"type": "text", "text": "Where is it?"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "North", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "In the north."},
    ],
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(WEIGHTS)


def test_weights_load_small_and_finite() -> None:
    path = WEIGHTS / "model.safetensors"
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS)
    assert path.stat().st_size <= 16 * 2**20
    assert 5e6 < sum(parameter.numel() for parameter in model.parameters()) < 6e6
    assert model.dtype == torch.bfloat16
    assert model.config.max_position_embeddings == 1024
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_ids_agree_between_model_and_tokenizer(tokenizer: Any) -> None:
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS)
    assert len(tokenizer) == model.config.vocab_size == VOCAB
    assert model.generation_config.eos_token_id == model.config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id


def test_lean_network_equals_transformers() -> None:
    torch.manual_seed(0)
    lean = TinyLlama(torch.float32)
    for parameter in lean.parameters():
        parameter.data = (torch.randn_like(parameter) * 0.05).bfloat16().float()
    tokens = torch.randint(0, VOCAB, (2, 40))
    expected = to_llama(lean).float()(input_ids=tokens).logits.flatten(0, 1)
    torch.testing.assert_close(lean(tokens, torch.arange(80), rotation(40)), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "text", ["", " ", "Hello  world\n\n\ttab ", "naïve Łódź 日本語 😀👩‍👧", '{"a": "$88.80"}', "\x00\x7f"]
)
def test_tokenizer_returns_every_text(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_digits_are_single_tokens(tokenizer: Any) -> None:
    assert len(tokenizer("1007441")["input_ids"]) == 7
    assert not [token for token in tokenizer.get_vocab() if len(re.findall(r"\d", token)) and len(token) > 1]


def test_a_value_has_the_same_tokens_after_a_space_and_after_a_quote(tokenizer: Any) -> None:
    value = tokenizer("Zorvik 441")["input_ids"]
    for context in ("name: Zorvik 441", '"Zorvik 441'):
        assert tokenizer(context)["input_ids"][-len(value) :] == value


@pytest.mark.parametrize("tools", [None, TOOLS], ids=["without tools", "with tools"])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_each_prompt_is_a_prefix_of_the_full_rendering(tokenizer: Any, name: str, tools: Any) -> None:
    messages = CONVERSATIONS[name]
    full = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            prompt = tokenizer.apply_chat_template(
                messages[:index], tools=tools, tokenize=False, add_generation_prompt=True
            )
            assert full.startswith(prompt)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_supervised_span_is_the_answer_and_its_end_of_turn(tokenizer: Any, name: str) -> None:
    messages = CONVERSATIONS[name]
    rendered = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    pairs = zip(rendered["input_ids"], rendered["assistant_masks"], strict=True)
    spans = [
        tokenizer.decode([token for token, _ in group])
        for counts, group in itertools.groupby(pairs, key=lambda pair: pair[1])
        if counts
    ]
    called = '<|tool_call|>{"name": "find", "arguments": {"city": "Łódź"}}'
    assert spans == [
        (called if "tool_calls" in message else message["content"]) + tokenizer.eos_token
        for message in messages
        if message["role"] == "assistant"
    ]


def test_tools_are_shown_in_the_system_turn(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(CONVERSATIONS["system"][:2], tools=TOOLS, tokenize=False)
    assert text.startswith("<|system|>Be short.\nTools: " + json.dumps(TOOLS) + "<|end|><|user|>")


def test_pretraining_sees_what_the_template_renders(tokenizer: Any) -> None:
    chats = [chat for seed in range(3) for chat in pretraining_chats(60, seed)]
    raw = Tokenizer.from_file(str(WEIGHTS / "tokenizer.json"))
    for chat, encoded in zip(chats, encode_chats(chats, raw), strict=True):
        rendered = tokenizer.apply_chat_template(
            chat.messages, tools=chat.tools or None, return_dict=True, return_assistant_tokens_mask=True
        )
        assert encoded.tokens == rendered["input_ids"]
        if chat.learned_from <= 1:
            assert encoded.learned == [bool(counts) for counts in rendered["assistant_masks"]]


def test_data_are_deterministic_by_seed() -> None:
    assert pretraining_chats(50, 7) == pretraining_chats(50, 7) != pretraining_chats(50, 8)
    assert (
        sorting_examples(20, 1, "train")
        == sorting_examples(20, 1, "train")
        != sorting_examples(20, 2, "train")
    )
    assert rewriting_examples(20, 1, "unseen") == rewriting_examples(20, 1, "unseen")


def test_every_family_ends_with_an_answer() -> None:
    chats = [chat for seed in range(4) for chat in pretraining_chats(10 * len(MIX), seed)]
    assert all(
        chat.messages[-1]["role"] == "assistant" and chat.learned_from < len(chat.messages) for chat in chats
    )


@pytest.mark.parametrize("examples", [sorting_examples, rewriting_examples])
def test_train_and_test_splits_never_overlap(examples: Any) -> None:
    trained = {chat[0]["content"] for seed in range(3) for chat in examples(250, seed, "train")}
    tested = {chat[0]["content"] for chat in examples(200, 1000, "test")}
    assert not trained & tested


def test_reserved_values_occur_in_no_training_text() -> None:
    lists = [value for value in vars(words).values() if isinstance(value, list)]
    groups = [list(value) for table in (words.KINDS, words.FEELINGS) for value in table.values()]
    assert RESERVED.isdisjoint(word for group in lists + groups for word in group)
    finetuning = [message["content"] for chat in rewriting_examples(500, 0, "train") for message in chat]
    assert not _reserved_among(finetuning)
    names = {value for value in RESERVED if value.isalpha() and value[0].isupper()}
    pretraining = [_text(chat) for seed in range(3) for chat in pretraining_chats(1000, seed)]
    assert not names & _reserved_among(pretraining)


def test_unseen_examples_use_reserved_values_only() -> None:
    for chat in rewriting_examples(50, 3, "unseen"):
        values = [field.split(": ")[1] for field in chat[0]["content"].split(" | ")]
        assert all(word in RESERVED for value in values for word in value.split())


def test_committed_scores_are_of_these_weights() -> None:
    assert _scores()["weights_sha256"] == _weights_sha256()


def test_fine_tuning_learns_new_combinations_of_seen_values() -> None:
    runs = _tuned("rewriting")
    assert len(runs) >= 3
    assert min(run["test"] for run in runs) >= 0.95


def test_fine_tuning_learns_to_sort() -> None:
    runs = _tuned("sorting")
    assert len(runs) >= 3
    assert min(run["test"] for run in runs) >= 0.9


def test_fine_tuning_copies_values_never_seen() -> None:
    runs = _tuned("rewriting")
    assert len(runs) >= 3
    assert min(run["unseen"] for run in runs) >= 0.7


def test_fine_tuning_takes_at_most_ninety_processor_seconds() -> None:
    assert max(run["finetuning_cpu_seconds"] for run in _tuned("sorting") + _tuned("rewriting")) <= 90


def test_neither_the_base_nor_random_weights_can_do_the_tasks() -> None:
    runs = [run for run in _scores()["measurements"] if run["start"] == "random" or run["seed"] is None]
    assert len(runs) == 3
    assert max(max(run["test"], run.get("unseen", 0)) for run in runs) < 0.1


def test_the_data_card_names_the_committed_weights() -> None:
    card = Path(WEIGHTS.parent / "DATA_CARD.md").read_text()
    assert _weights_sha256() in card


def _weights_sha256() -> str:
    return hashlib.sha256((WEIGHTS / "model.safetensors").read_bytes()).hexdigest()


def _text(chat: Chat) -> str:
    return " ".join(str(message["content"]) for message in chat.messages)


def _reserved_among(texts: list[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"\d+\.\d+|\w+", text) if word in RESERVED}


def _scores() -> Any:
    return json.loads((WEIGHTS / "scores.json").read_text())


def _tuned(task: str) -> list[dict[str, Any]]:
    """The committed measurements of this model fine-tuned on the task."""
    runs = _scores()["measurements"]
    return [run for run in runs if run["task"] == task and run["start"] == "base" and run["seed"] is not None]
