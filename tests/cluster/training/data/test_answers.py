"""What a model learns to write, with the chat templates of real bases."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken

from cluster.bases.text.chat_template import chat_template
from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.errors import InvalidDataset, InvalidRequest
from cluster.contracts.jsonl import parse_row
from cluster.contracts.rows import ChatRow, PreferenceRow
from cluster.training.data.compiler import compile_file
from cluster.training.data.recipe import Recipe
from cluster.training.data.template import Rendered, render_pair, render_row
from tests.chat_templates import (
    CHATML,
    FIRST_SYSTEM_ONLY,
    MARKED_WITHOUT_END,
    PLAIN_LINES,
    chat_tokenizer,
    real_tokenizer,
)
from tests.cluster.serving.tool_templates import BARE_OBJECT
from tests.cluster.training.data.test_template import learned_texts

ASK = {"role": "user", "content": "hi"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get", "arguments": "{}"}}],
}
TOOLS = [{"type": "function", "function": {"name": "get"}}]


def say(content: str, **others: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **others}


def rendered(tokenizer: Any, messages: list[dict[str, Any]], **others: Any) -> Rendered:
    row = parse_row(json.dumps({"messages": messages, **others}).encode())
    assert isinstance(row, ChatRow)
    (sequence,) = render_row(chat_template(tokenizer), row)
    return sequence


def learned(tokenizer: Any, row: Rendered) -> list[str]:
    return learned_texts(tokenizer, row.token_ids, row.mask)


@pytest.mark.parametrize("template", [CHATML, MARKED_WITHOUT_END])
def test_the_end_of_turn_is_learned_wherever_the_marks_end(template: str) -> None:
    tokenizer = chat_tokenizer(template)
    row = rendered(tokenizer, [ASK, say("yes"), ASK, say("no")])
    assert learned(tokenizer, row) == ["yes<|im_end|>", "no<|im_end|>"]


def test_end_of_text_is_added_and_learned_where_the_template_does_not_end_answers() -> None:
    tokenizer = chat_tokenizer(PLAIN_LINES)
    row = rendered(tokenizer, [ASK, say("yes"), ASK, say("no")])
    assert tokenizer.decode(row.token_ids) == "user:hi\nassistant:yes\nuser:hi\nassistant:no<|endoftext|>"
    assert learned(tokenizer, row) == ["yes", "no<|endoftext|>"]
    ignored = rendered(tokenizer, [ASK, say("yes"), ASK, say("no", weight=0)])
    assert learned(tokenizer, ignored) == ["yes"]
    open_row = rendered(tokenizer, [ASK, say("yes"), ASK])
    assert tokenizer.decode(open_row.token_ids) == "user:hi\nassistant:yes\nuser:hi\n"


def test_preferred_answers_get_an_end_too() -> None:
    tokenizer = chat_tokenizer(PLAIN_LINES)
    pair = {"input": {"messages": [ASK]}, "preferred_output": [say("a")], "non_preferred_output": [say("b")]}
    row = parse_row(json.dumps(pair).encode())
    assert isinstance(row, PreferenceRow)
    ends = [learned(tokenizer, one) for one in render_pair(chat_template(tokenizer), row)]
    assert ends == [["a<|endoftext|>"], ["b<|endoftext|>"]]


RESULT = {"role": "tool", "tool_call_id": "c1", "content": "42"}
NOTHING_THOUGHT = "<think>\n\n</think>\n\n"
QWEN3_CALL = '<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call><|im_end|>'
GPT_OSS_CALL = " to=functions.get<|channel|>commentary json<|message|>{}<|call|>"
DESCRIBED = [{"type": "function", "function": {"name": "get", "description": "Gets."}}]


def final(text: str) -> str:
    return f"<|channel|>final<|message|>{text}<|return|>"


@pytest.mark.parametrize(
    ("name", "conversation", "answers"),
    [
        ("qwen3", [ASK, say("a", weight=0), ASK, say("b")], [[f"{NOTHING_THOUGHT}b<|im_end|>"]]),
        (
            "qwen3",
            [ASK, say("a"), ASK, say("b")],
            [[f"{NOTHING_THOUGHT}a<|im_end|>"], [f"{NOTHING_THOUGHT}b<|im_end|>"]],
        ),
        (
            "qwen3",
            [ASK, CALL, RESULT, say("b")],
            [[f"{NOTHING_THOUGHT}{QWEN3_CALL}"], [f"{NOTHING_THOUGHT}b<|im_end|>"]],
        ),
        (
            "qwen3",
            [ASK, say("a", reasoning_content="Hm."), ASK, say("b", weight=0)],
            [["<think>\nHm.\n</think>\n\na<|im_end|>"]],
        ),
        ("qwen3_5_think", [ASK, say("a"), ASK, say("b")], [[f"\n</think>\n\n{x}<|im_end|>"] for x in "ab"]),
        ("qwen3_5_nothink", [ASK, say("a"), ASK, say("b")], [["a<|im_end|>"], ["b<|im_end|>"]]),
        ("gptoss", [ASK, say("a", weight=0), ASK, say("b")], [[final("b")]]),
        ("gptoss", [ASK, say("a"), ASK, say("b")], [[final("a")], [final("b")]]),
        (
            "gptoss",
            [ASK, say("a", reasoning_content="Hm.")],
            [[f"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant{final('a')}"]],
        ),
        ("gptoss", [ASK, CALL, RESULT, say("b")], [[GPT_OSS_CALL, final("b")]]),
    ],
)
def test_each_answer_follows_the_prompt_that_serving_makes_of_what_precedes_it(
    name: str, conversation: list[dict[str, Any]], answers: list[list[str]]
) -> None:
    tokenizer = real_tokenizer(name)
    template = chat_template(tokenizer)
    tools = DESCRIBED if CALL in conversation else None
    row = parse_row(json.dumps({"messages": conversation, **({"tools": tools} if tools else {})}).encode())
    assert isinstance(row, ChatRow)
    sequences = render_row(template, row)
    assert [learned(tokenizer, sequence) for sequence in sequences] == answers
    places = [
        place
        for place, message in enumerate(conversation)
        if message["role"] == "assistant" and message.get("weight") != 0
    ]
    of_places = [sequence for sequence in sequences for _ in learned(tokenizer, sequence)]
    for place, sequence in zip(places, of_places, strict=True):
        prompt = template.encode(template.prompt(conversation[:place], tools))
        assert sequence.token_ids[: len(prompt)] == prompt
        assert sequence.mask[len(prompt) - 1 : len(prompt) + 1] == [False, True]


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3_instruct_2507", "llama3", "gemma"])
def test_a_template_that_renders_answers_alike_keeps_one_sequence(name: str) -> None:
    row = rendered(real_tokenizer(name), [ASK, say("a"), ASK, say("b")])
    assert sum(first < second for first, second in zip(row.mask, row.mask[1:], strict=False)) == 2


@pytest.mark.parametrize(
    ("name", "conversation", "answers"),
    [
        ("gptoss_training", [ASK, say("a")], [final("a")]),
        ("gptoss_training", [ASK, CALL, RESULT, say("b")], [GPT_OSS_CALL, final("b")]),
        ("qwen3_training", [ASK, CALL], [f"{NOTHING_THOUGHT}{QWEN3_CALL}"]),
        ("llama3_training", [ASK, say("a"), ASK, say("b")], ["a<|eot_id|>", "b<|eot_id|>"]),
    ],
)
def test_the_header_is_not_learned_where_the_templates_marks_include_it(
    name: str, conversation: list[dict[str, Any]], answers: list[str]
) -> None:
    tokenizer = real_tokenizer(name)
    tokenizer.add_tokens([AddedToken("<|eot_id|>", special=True, normalized=False)])
    others = {"tools": DESCRIBED} if CALL in conversation else {}
    assert learned(tokenizer, rendered(tokenizer, conversation, **others)) == answers


@pytest.mark.parametrize("name", ["qwen3", "gptoss"])
def test_preferences_may_have_history(name: str) -> None:
    tokenizer = real_tokenizer(name)
    pair = {
        "input": {"messages": [ASK, say("before"), ASK]},
        "preferred_output": [say("a")],
        "non_preferred_output": [say("b")],
    }
    row = parse_row(json.dumps(pair).encode())
    assert isinstance(row, PreferenceRow)
    preferred, other = render_pair(chat_template(tokenizer), row)
    assert preferred.mask == other.mask
    assert [len(learned(tokenizer, each)) for each in (preferred, other)] == [1, 1]


def test_history_is_encoded_as_serving_encodes_it() -> None:
    tokenizer = chat_tokenizer(CHATML)
    template = chat_template(tokenizer)
    history = [ASK, say("\n\nfoo", weight=0), ASK]
    prompt = template.encode(template.prompt(history, None))
    assert rendered(tokenizer, [*history, say("yes")]).token_ids[: len(prompt)] == prompt


def test_a_base_without_any_end_token_is_refused_once(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"messages": [ASK, say("yes")]}) + "\n")
    base = BaseSpec(alias="b", source=BuiltinSource(name="x"), context_length=99, learning_rates={})
    with pytest.raises(InvalidRequest, match="would never stop") as caught:
        compile_file(
            path, chat_tokenizer(PLAIN_LINES, eos_token=None), Recipe(base, "supervised", 99, "error")
        )
    assert (caught.value.code, caught.value.param) == ("no_end_of_turn", "model")


@pytest.mark.parametrize("template", [CHATML, MARKED_WITHOUT_END])
@pytest.mark.parametrize("content", ["\n\nfoo", "\nfoo", " foo", "\n"])
def test_leading_white_space_is_part_of_an_answer(template: str, content: str) -> None:
    tokenizer = chat_tokenizer(template)
    assert len(tokenizer.encode("\n\n\n")) == 1, "the tokenizer would merge the header's line break with them"
    row = rendered(tokenizer, [ASK, say(content)])
    assert learned(tokenizer, row) == [f"{content}<|im_end|>"]
    template_ = chat_template(tokenizer)
    prompt = template_.encode(template_.prompt([ASK], None))
    assert row.token_ids[: len(prompt)] == prompt, "training's prompt is not the one that serving reads"
    assert row.mask.index(True) == len(prompt)


@pytest.mark.parametrize("template", [CHATML, MARKED_WITHOUT_END, FIRST_SYSTEM_ONLY])
@pytest.mark.parametrize("content", ["Always", "Another", "hi"])
def test_only_the_answer_is_learned_in_a_conversation_that_begins_with_it(
    template: str, content: str
) -> None:
    tokenizer = chat_tokenizer(template)
    row = rendered(tokenizer, [say(content), ASK, say("yes")])
    assert learned(tokenizer, row) == [f"{content}<|im_end|>", "yes<|im_end|>"]


@pytest.mark.parametrize(
    ("messages", "tools", "problem"),
    [
        ([ASK, CALL], TOOLS, "renders no tools"),
        ([ASK, CALL], None, "renders no calls of tools"),
        ([ASK, {**CALL, "weight": 0}, say("yes")], None, "renders no calls of tools"),
        ([ASK, say("yes")], TOOLS, "renders no tools"),
    ],
)
def test_what_the_template_would_drop_is_refused(messages: Any, tools: Any, problem: str) -> None:
    with pytest.raises(InvalidDataset, match=problem):
        rendered(chat_tokenizer(CHATML), messages, **({"tools": tools} if tools else {}))


def test_a_second_system_message_that_would_be_dropped_is_refused_by_position() -> None:
    system = {"role": "system", "content": "Be brief."}
    tokenizer = chat_tokenizer(FIRST_SYSTEM_ONLY)
    assert "Be brief." in tokenizer.decode(rendered(tokenizer, [system, ASK, say("yes")]).token_ids)
    with pytest.raises(InvalidDataset, match="only the first system message") as caught:
        rendered(tokenizer, [system, ASK, say("yes"), {**system, "role": "developer"}, ASK, say("no")])
    assert caught.value.param == "messages[3]"


def test_a_learned_answer_whose_text_would_be_dropped_beside_tool_calls_is_refused() -> None:
    tokenizer = chat_tokenizer(BARE_OBJECT)
    said = {**CALL, "content": "Let me see."}
    with pytest.raises(InvalidDataset, match="no text beside calls"):
        rendered(tokenizer, [ASK, said], tools=TOOLS)
    rendered(tokenizer, [ASK, {**said, "weight": 0}, ASK, say("yes")], tools=TOOLS)


TWO_CALLS = {**CALL, "tool_calls": [*CALL["tool_calls"], {**CALL["tool_calls"][0], "id": "c2"}]}


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3_instruct_2507", "llama3", "gemma3"])
def test_learned_reasoning_that_the_template_never_reads_is_refused(name: str) -> None:
    tokenizer = real_tokenizer(name)
    with pytest.raises(InvalidDataset, match="renders no reasoning before an answer") as caught:
        rendered(tokenizer, [ASK, say("a"), ASK, say("b", reasoning_content="Hm.")])
    assert caught.value.param == "messages[3]"
    rendered(tokenizer, [ASK, say("a", reasoning_content="Hm.", weight=0), ASK, say("b")])


def test_reasoning_that_is_read_only_before_calls_is_refused_before_text() -> None:
    tokenizer = real_tokenizer("gemma4")
    with pytest.raises(InvalidDataset, match="renders no reasoning before an answer"):
        rendered(tokenizer, [ASK, say("a", reasoning_content="Hm.")])
    row = rendered(tokenizer, [ASK, {**CALL, "reasoning_content": "Hm."}], tools=DESCRIBED)
    assert "Hm." in learned(tokenizer, row)[0]
    with pytest.raises(InvalidDataset, match="renders no reasoning before calls"):
        rendered(real_tokenizer("qwen2_5"), [ASK, {**CALL, "reasoning_content": "Hm."}], tools=DESCRIBED)


@pytest.mark.parametrize(
    "name", ["qwen3", "qwen3_5_think", "qwen3_8", "glm4moe", "gptoss", "nemotron_3_nano"]
)
@pytest.mark.parametrize("block", ["<think>\nHm.\n</think>\n\n", "<think>Hm.</think>"])
def test_a_think_block_before_an_answer_is_its_reasoning(name: str, block: str) -> None:
    tokenizer = real_tokenizer(name)
    row = rendered(tokenizer, [ASK, say(f"{block}a")])
    assert row == rendered(tokenizer, [ASK, say("a", reasoning_content="Hm.")])
    assert "Hm." in tokenizer.decode(row.token_ids)


@pytest.mark.parametrize("name", ["qwen3", "gptoss"])
def test_an_empty_think_block_is_no_reasoning(name: str) -> None:
    tokenizer = real_tokenizer(name)
    row = rendered(tokenizer, [ASK, say("<think>\n\n</think>\n\na")])
    assert row == rendered(tokenizer, [ASK, say("a")])


def test_a_think_block_of_an_earlier_answer_is_no_obstacle_to_serving() -> None:
    template = chat_template(real_tokenizer("qwen3"))
    plain, thought = ([ASK, say(text), ASK] for text in ("a", "<think>\nHm.\n</think>\n\na"))
    assert template.prompt(thought, None) == template.prompt(plain, None)


def test_a_think_block_stays_text_where_the_template_reads_no_reasoning_and_shows_it() -> None:
    tokenizer = real_tokenizer("qwen2_5")
    row = rendered(tokenizer, [ASK, say("<think>Hm.</think>a")])
    assert learned(tokenizer, row) == ["<think>Hm.</think>a<|im_end|>"]
    with pytest.raises(InvalidDataset, match="leaves a <think> block out"):
        rendered(real_tokenizer("deepseek_r1_distill"), [ASK, say("<think>Hm.</think>a")])


def test_the_control_token_that_is_in_the_way_is_named() -> None:
    with pytest.raises(InvalidDataset, match="contain '</think>', a control token"):
        rendered(real_tokenizer("qwen3"), [ASK, say("Hm.</think>a")])


def test_calls_of_which_only_the_first_would_be_rendered_are_refused() -> None:
    with pytest.raises(InvalidDataset, match="only the first call") as caught:
        rendered(real_tokenizer("gptoss"), [ASK, TWO_CALLS], tools=DESCRIBED)
    assert caught.value.param == "messages[1]"
    tokenizer = real_tokenizer("qwen3")
    row = rendered(tokenizer, [ASK, TWO_CALLS], tools=DESCRIBED)
    assert "".join(learned(tokenizer, row)).count("<tool_call>") == 2


@pytest.mark.parametrize("name", ["gptoss", "qwen3_vl", "cohere"])
@pytest.mark.parametrize("place", [1, 2])
def test_a_system_message_after_others_that_would_be_dropped_is_refused(name: str, place: int) -> None:
    messages = [ASK, say("a"), ASK, say("b")]
    system = {"role": "system", "content": "Be brief."}
    with pytest.raises(InvalidDataset, match="only at the beginning") as caught:
        rendered(real_tokenizer(name), [*messages[:place], system, *messages[place:]])
    assert caught.value.param == f"messages[{place}]"


def test_an_empty_answer_among_others_is_not_learned() -> None:
    tokenizer = chat_tokenizer(CHATML)
    row = rendered(tokenizer, [ASK, say(""), ASK, say("yes")])
    assert learned(tokenizer, row) == ["yes<|im_end|>"]


def test_an_answer_that_the_template_trims_to_nothing_is_refused() -> None:
    with pytest.raises(InvalidDataset, match="white space, which this model's chat template removes"):
        rendered(chat_tokenizer(FIRST_SYSTEM_ONLY), [ASK, say(" \n")])
    assert any(rendered(chat_tokenizer(CHATML), [ASK, say(" \n")]).mask)
