"""Reasoning and answers are separated in the forms of real models' chat templates."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cluster.bases.text.chat_template import ChatTemplate, chat_template
from cluster.bases.text.control_tokens import Rendering
from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.generation import (
    ChatPrompt,
    FinishEvent,
    GenerationRequest,
    ModelRef,
    ReasoningEvent,
    Sampling,
    TextEvent,
    ToolCallEvent,
    ToolUse,
)
from cluster.serving.text.answer import ChoiceAnswer, Event
from cluster.serving.text.guidance import Guidance, Masks
from cluster.serving.text.logprobs import Scored
from cluster.serving.text.prompts import PromptTokenizer, TokenizedPrompt
from cluster.serving.text.reasoning import find_reasoning
from tests.chat_templates import CHATML, chat_tokenizer, real_tokenizer
from tests.cluster.serving.conftest import Serve
from tests.cluster.serving.scripted import START, make_scripted_base

ASK = {"role": "user", "content": "hi"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get",
            "description": "Gets.",
            "parameters": {"type": "object", "properties": {}},
        },
    }
]
SCHEMA = {"type": "object", "properties": {"n": {"enum": [4]}}, "required": ["n"]}
ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|channel|>final<|message|>"
NEXT = "<|end|><|start|>assistant"
CHANNEL_CALL = "<|channel|>commentary to=functions.get <|constrain|>json<|message|>{}"
"""As gpt-oss was trained to write it, unlike its chat template."""
QWEN3_CALL = '<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call>'
CALL = " to=functions.get<|channel|>commentary json<|message|>{}"


@cache
def parts(name: str) -> tuple[Any, ChatTemplate, Vocabulary]:
    tokenizer = real_tokenizer(name)
    return tokenizer, chat_template(tokenizer), Vocabulary(tokenizer)


def prompted(name: str, sampling: Sampling | None = None, **prompt: Any) -> TokenizedPrompt:
    tokenizer, _, vocabulary = parts(name)
    maker = PromptTokenizer(tokenizer, vocabulary, context_length=9999, num_embeddings=len(vocabulary))
    base = BaseSpec(alias="b", source=BuiltinSource(name="x"), context_length=9999, learning_rates={})
    asked = ChatPrompt(**{"messages": [ASK], **prompt})
    return maker.tokenize(
        GenerationRequest(id="r", model=ModelRef(base=base), prompt=asked, sampling=sampling or Sampling())
    )


def read(
    name: str,
    text: str,
    *,
    is_cut: bool = False,
    sampling: Sampling | None = None,
    prompt: TokenizedPrompt | None = None,
) -> list[Event]:
    """The events of an answer that the model writes like this."""
    _, template, vocabulary = parts(name)
    sampling = sampling or Sampling()
    prompt = prompt or prompted(name, sampling)
    answer = ChoiceAnswer(
        sampling,
        0,
        vocabulary=vocabulary,
        stop_tokens=template.end_token_ids,
        calls=prompt.calls,
        reasoning=prompt.reasoning,
    )
    events: list[Event] = []
    for token in template.encode(Rendering(text)):
        events += answer.accept(token, None if sampling.logprobs is None else Scored(token, -1.0))
        if answer.is_finished:
            return events
    return events + answer.end("length" if is_cut else "stop")


def reasoned(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningEvent))


def said(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextEvent))


@pytest.mark.parametrize(
    ("name", "text", "reasoning", "content"),
    [
        ("qwen3", "<think>\n\n</think>\n\nParis<|im_end|>", "", "Paris"),
        ("qwen3", "<think>\nHm.\n\nYes.\n</think>\n\nParis\n\n2<|im_end|>", "Hm.\n\nYes.", "Paris\n\n2"),
        ("qwen3", "Paris<|im_end|>", "", "Paris"),
        ("qwen3", " <Paris <think> x</think><|im_end|>", "", " <Paris <think> x</think>"),
        ("qwen3", "<think>\n\n</think>\n\n\n a<|im_end|>", "", "\n a"),
        ("qwen3", "<|im_end|>", "", ""),
        ("qwen3_5_think", "Hm.\n</think>\n\nParis<|im_end|>", "Hm.", "Paris"),
        ("qwen3_5_think", "\n</think>\n\nParis<|im_end|>", "", "Paris"),
        ("qwen3_5_nothink", "Paris<|im_end|>", "", "Paris"),
        ("deepseek_r1_distill", "Hm.\n</think>\n\nParis", "Hm.", "Paris"),
        ("glm4moe", "\n<think>Hm.</think>\nParis", "Hm.", "Paris"),
        ("glm4moe", "\n<think></think>\nParis", "", "Paris"),
        ("gemma4_v5", "<|channel>thought\nHm.\n<channel|>Paris", "Hm.", "Paris"),
        ("nemotron_3_nano", "Hm.\n</think>\nParis<|im_end|>", "Hm.", "Paris"),
        ("gptoss", f"{FINAL}Paris<|return|>", "", "Paris"),
        ("gptoss", f"{ANALYSIS}Hm.{NEXT}{FINAL}Paris<|return|>", "Hm.", "Paris"),
        ("gptoss", f"{ANALYSIS}A.{NEXT}{ANALYSIS}B.{NEXT}{FINAL}Paris<|return|>", "A.B.", "Paris"),
        (
            "gptoss",
            f"<|channel|>commentary<|message|>Let me see.{NEXT}{FINAL}Paris<|return|>",
            "Let me see.",
            "Paris",
        ),
        ("qwen2_5", "<think>\nHm.\n</think>\n\nParis<|im_end|>", "", "<think>\nHm.\n</think>\n\nParis"),
    ],
)
def test_only_the_answer_is_content(name: str, text: str, reasoning: str, content: str) -> None:
    events = read(name, text)
    assert (reasoned(events), said(events)) == (reasoning, content)
    last = events[-1]
    assert isinstance(last, FinishEvent)
    assert last.reason == "stop"


@pytest.mark.parametrize("name", ["qwen3", "gptoss", "qwen3_5_think", "glm4moe"])
@pytest.mark.parametrize("thought", ["", "Hm. Well."])
def test_what_training_learns_is_read_as_it_was_given(name: str, thought: str) -> None:
    _, template, _ = parts(name)
    answer = {"role": "assistant", "content": "It is 4."}
    if thought:
        answer |= {"reasoning_content": thought}
    prompt = template.render([ASK], None, add_generation_prompt=True).text
    whole = template.render([ASK, answer], None, add_generation_prompt=False).text
    events = read(name, whole.removeprefix(prompt))
    assert (reasoned(events), said(events)) == (thought, "It is 4.")


@pytest.mark.parametrize("length", range(1, 40))
def test_a_cut_answer_shows_no_markup(length: int) -> None:
    for name, text in [
        ("qwen3", "<think>\nHm.\n</think>\n\nParis"),
        ("gptoss", f"{ANALYSIS}Hm.{NEXT}{FINAL}Paris"),
    ]:
        _, template, vocabulary = parts(name)
        token_ids = template.encode(Rendering(text))[:length]
        raw = b"".join(map(vocabulary.token_bytes, token_ids)).decode()
        events = read(name, raw, is_cut=True)
        assert "Hm.".startswith(reasoned(events))
        assert "Paris".startswith(said(events))


def test_stop_strings_end_the_answer_and_not_the_reasoning() -> None:
    text = "<think>\nA.\n\nB.\n</think>\n\nParis\n\nmore<|im_end|>"
    events = read("qwen3", text, sampling=Sampling(stop=["\n\n"]))
    assert (reasoned(events), said(events)) == ("A.\n\nB.", "Paris")


def test_log_probabilities_are_divided_like_the_text() -> None:
    for text in ["<think>\nHm.\n</think>\n\n ok", "<think>\n\n</think>\n\n ok", " ok", "<ok"]:
        events = read("qwen3", text, sampling=Sampling(logprobs=0))
        content = b"".join(
            bytes(token.bytes) for event in events if isinstance(event, TextEvent) for token in event.tokens
        )
        assert content.decode() == said(events)
        _, template, _ = parts("qwen3")
        counted = [event.tokens for event in events if not isinstance(event, FinishEvent)]
        assert sum(map(len, counted)) == len(template.encode(Rendering(text)))


def test_reasoning_may_be_switched_off_or_on_by_the_request() -> None:
    for name, is_on, place in [
        ("qwen3", False, "after"),
        ("qwen3", True, "before"),
        ("qwen3_5_nothink", True, "inside"),
        ("qwen3_5_think", False, "after"),
    ]:
        prompt = prompted(name, template_options={"enable_thinking": is_on})
        assert prompt.reasoning is not None
        assert prompt.reasoning.place == place
    events = read(
        "qwen3_5_nothink",
        "Hm.</think>4",
        prompt=prompted("qwen3_5_nothink", template_options={"enable_thinking": True}),
    )
    assert (reasoned(events), said(events)) == ("Hm.", "4")


def test_a_continued_message_is_all_answer() -> None:
    messages = [ASK, {"role": "assistant", "content": "It"}]
    assert prompted("qwen3", messages=messages, ending="final_message").reasoning is None


@pytest.mark.parametrize("name", ["qwen2_5", "llama3_1", "gemma", "phi3"])
def test_templates_without_reasoning_have_no_form(name: str) -> None:
    _, template, vocabulary = parts(name)
    assert find_reasoning(template, vocabulary) is None
    tokenizer = chat_tokenizer(CHATML)
    assert find_reasoning(chat_template(tokenizer), Vocabulary(tokenizer)) is None


@pytest.mark.parametrize(
    ("name", "text", "reasoning"),
    [
        ("qwen3", f"<think>\n\n</think>\n\n{QWEN3_CALL}", ""),
        (
            "qwen3",
            '<think>\nHm.\n</think>\n\n<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call>',
            "Hm.",
        ),
        ("gptoss", f"{CALL}<|call|>", ""),
        ("gptoss", f"{ANALYSIS}Hm.{NEXT}{CALL}<|call|>", "Hm."),
        ("gptoss", f"{CHANNEL_CALL}<|call|>", ""),
        ("gptoss", f"{ANALYSIS}Hm.{NEXT}{CHANNEL_CALL}<|call|>", "Hm."),
    ],
)
def test_calls_may_follow_reasoning(name: str, text: str, reasoning: str) -> None:
    for use in (ToolUse(), ToolUse(is_required=True)):
        sampling = Sampling(tool_use=use)
        events = read(name, text, sampling=sampling, prompt=prompted(name, sampling, tools=TOOLS))
        assert (reasoned(events), said(events)) == (reasoning, "")
        calls = [event for event in events if isinstance(event, ToolCallEvent)]
        assert calls[0].name == "get"
        assert "".join(call.arguments for call in calls) == "{}"


def can_write(name: str, prompt: TokenizedPrompt, text: str) -> bool:
    """Whether the grammar lets the model write this and end."""
    _, template, vocabulary = parts(name)
    assert prompt.grammar is not None
    guidance = Guidance(vocabulary, num_tokens=len(vocabulary), stop_tokens=template.end_token_ids)
    guide, masks = guidance.start(prompt.grammar), Masks(len(vocabulary))
    for token in template.encode(Rendering(text)):
        if guide.must_end or not bool(masks.allowed([guide])[0][token]):
            return False
        guide.accept(token)
    return guide.may_end


@pytest.mark.parametrize("is_with_tools", [False, True])
@pytest.mark.parametrize(
    ("name", "lead", "options"),
    [
        ("qwen3", "<think>\n\n</think>\n\n", {}),
        ("qwen3", "<think>\nHm. {\n</think>\n\n", {}),
        ("qwen3", "", {}),
        ("qwen3", "", {"enable_thinking": False}),
        ("qwen3_5_think", "Hm.\n</think>\n\n", {}),
        ("gptoss", FINAL, {}),
        ("gptoss", f"{ANALYSIS}Hm.{NEXT}{FINAL}", {}),
    ],
)
def test_a_schema_constrains_the_answer_and_not_what_precedes_it(
    name: str, lead: str, options: dict[str, bool], is_with_tools: bool
) -> None:
    if is_with_tools and name == "qwen3_5_think":
        pytest.skip("Its calls are not JSON.")
    use = {"tool_use": ToolUse()} if is_with_tools else {}
    sampling = Sampling(json_schema=SCHEMA, **use)
    tools = TOOLS if is_with_tools else None
    prompt = prompted(name, sampling, template_options=options, tools=tools)
    assert can_write(name, prompt, lead + '{"n": 4}')
    assert not can_write(name, prompt, lead + '{"n": 5}')
    assert not can_write(name, prompt, lead + "4")
    assert not can_write(name, prompt, lead)
    events = read(name, lead + '{"n": 4}', sampling=sampling, prompt=prompt)
    assert json.loads(said(events)) == {"n": 4}


@pytest.mark.parametrize("is_required", [False, True])
@pytest.mark.parametrize(
    ("name", "lead", "call"),
    [
        ("qwen3", "<think>\n\n</think>\n\n", QWEN3_CALL),
        ("gptoss", "", CALL),
        ("gptoss", f"{ANALYSIS}Hm.{NEXT}", CALL),
    ],
)
def test_calls_that_are_enforced_may_follow_reasoning(
    name: str, lead: str, call: str, is_required: bool
) -> None:
    tools = [{**TOOLS[0], "function": {**TOOLS[0]["function"], "strict": True}}]  # type: ignore[dict-item]
    prompt = prompted(name, Sampling(tool_use=ToolUse(is_required=is_required)), tools=tools)
    assert can_write(name, prompt, lead + call)
    assert not can_write(name, prompt, lead + call.replace("{}", "[]"))
    answer = lead + (FINAL if name == "gptoss" else "") + "Paris"
    assert can_write(name, prompt, answer) != is_required


BRACKETS = (
    "{%- for message in messages -%}{{- '<|' + message.role + '|>' -}}"
    "{%- if message.reasoning_content -%}{{- '[' + message.reasoning_content + ']' -}}{%- endif -%}"
    "{{- message.content + '<|end|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
"""A form of so few tokens that a scripted model can write it."""


@pytest.mark.slow
def test_engines_separate_the_reasoning_of_chats_alone(serve: Serve, tmp_path: Path) -> None:
    served = serve(base=make_scripted_base(tmp_path / "scripted", "[hm]ok", chat_template=BRACKETS))
    chat = served.ask(served.request(prompt=ChatPrompt(messages=[ASK]), max_tokens=20))
    assert (chat.reasoning, chat.text, chat.finishes[0].completion_tokens) == ({0: "hm"}, "ok", 7)
    raw = served.ask(served.request(prompt=START, max_tokens=20))
    assert (raw.reasoning, raw.text) == ({}, "[hm]ok")
