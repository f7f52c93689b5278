"""Which tokens of a row are learned."""

import json
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from cluster.bases.text.chat_template import chat_template
from cluster.bases.text.plain_prompt import encode_prompt
from cluster.contracts.errors import InvalidDataset
from cluster.contracts.jsonl import parse_row
from cluster.contracts.rows import ChatRow
from cluster.training.data.template import Rendered, render_completions
from cluster.training.data.template import render_chat as render_with
from cluster.training.data.template import render_row as render_row_with
from tests.tiny_base import CHAT_TEMPLATE, make_tokenizer

pytestmark = pytest.mark.slow

WITHOUT_MARKS = CHAT_TEMPLATE.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
MARKS_WITHOUT_END = CHAT_TEMPLATE.replace(
    "{{- '<|end|>' -}}\n{%- endgeneration -%}", "{%- endgeneration -%}\n{{- '<|end|>' -}}"
)
NEWLINE_AFTER_TURNS = WITHOUT_MARKS.replace("'<|end|>' -", "'<|end|>\\n' -")
FORGETS_EARLIER_ANSWERS = WITHOUT_MARKS.replace(
    "{{- message['content'] -}}", "{{- message['content'] if loop.last else '(before)' -}}"
)

CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the weather?"},
    {"role": "assistant", "content": "sunny"},
    {"role": "user", "content": "Thank you"},
    {"role": "assistant", "content": "It is warm."},
]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
TOOL_CONVERSATION: list[dict[str, Any]] = [
    {"role": "user", "content": "Paris?"},
    {
        "role": "assistant",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    {"role": "assistant", "content": "It is sunny."},
]


def render_chat(
    tokenizer: Any, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> Rendered:
    (rendered,) = render_with(chat_template(tokenizer), messages, tools)
    return rendered


def render_row(tokenizer: Any, row: ChatRow) -> Rendered:
    (rendered,) = render_row_with(chat_template(tokenizer), row)
    return rendered


def render_prompt(
    tokenizer: Any, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> list[int]:
    template = chat_template(tokenizer)
    return template.encode(template.prompt(messages, tools))


def learned_texts(tokenizer: Any, token_ids: list[int], mask: list[bool]) -> list[str]:
    """Each run of learned tokens, decoded."""
    texts, run = [], []
    for token, is_learned in zip([*token_ids, 0], [*mask, False], strict=True):
        if is_learned:
            run.append(token)
        elif run:
            texts.append(tokenizer.decode(run))
            run = []
    return texts


def test_golden_tokens_and_mask() -> None:
    tokenizer = make_tokenizer()
    rendered = render_chat(
        tokenizer, [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ok!"}], None
    )
    user, assistant, end = (tokenizer.convert_tokens_to_ids(f"<|{n}|>") for n in ("user", "assistant", "end"))
    letters = tokenizer.convert_tokens_to_ids
    assert rendered.token_ids == [
        user, letters("h"), letters("i"), end, assistant, letters("o"), letters("k"), letters("!"), end,
    ]  # fmt: skip
    assert rendered.mask == [False] * 5 + [True] * 4


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, WITHOUT_MARKS, MARKS_WITHOUT_END, NEWLINE_AFTER_TURNS])
def test_every_answer_and_its_end_of_turn_are_learned_and_nothing_else(template: str) -> None:
    tokenizer = make_tokenizer(chat_template=template)
    token_ids, mask = render_chat(tokenizer, CONVERSATION, None)
    assert learned_texts(tokenizer, token_ids, mask) == ["sunny<|end|>", "It is warm.<|end|>"]


def test_marks_and_renderings_find_the_same_answers() -> None:
    marked, unmarked = make_tokenizer(), make_tokenizer(chat_template=WITHOUT_MARKS)
    for messages, tools in ((CONVERSATION, None), (TOOL_CONVERSATION, TOOLS)):
        assert render_chat(marked, messages, tools) == render_chat(unmarked, messages, tools)


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, WITHOUT_MARKS])
def test_answers_of_weight_zero_are_context_only(template: str) -> None:
    tokenizer = make_tokenizer(chat_template=template)
    messages = [dict(message) for message in CONVERSATION]
    messages[2]["weight"] = 0
    token_ids, mask = render_chat(tokenizer, messages, None)
    assert learned_texts(tokenizer, token_ids, mask) == ["It is warm.<|end|>"]
    assert token_ids == render_chat(tokenizer, CONVERSATION, None).token_ids


def test_tools_are_shown_and_tool_calls_are_learned() -> None:
    tokenizer = make_tokenizer()
    row = parse_row(json.dumps({"messages": TOOL_CONVERSATION, "tools": TOOLS}).encode())
    assert isinstance(row, ChatRow)
    token_ids, mask = render_row(tokenizer, row)
    assert tokenizer.decode(token_ids).startswith("<|system|>Tools: [")
    assert learned_texts(tokenizer, token_ids, mask) == [
        'call weather {"city": "Paris"}<|end|>',
        "It is sunny.<|end|>",
    ]


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, WITHOUT_MARKS, NEWLINE_AFTER_TURNS])
def test_prompts_at_serving_equal_those_in_training(template: str) -> None:
    tokenizer = make_tokenizer(chat_template=template)
    token_ids, mask = render_chat(tokenizer, CONVERSATION, None)
    first, last = mask.index(True), len(mask) - mask[::-1].index(True) - len("x")
    assert render_prompt(tokenizer, CONVERSATION[:2], None) == token_ids[:first]
    prompt = render_prompt(tokenizer, CONVERSATION[:4], None)
    assert prompt == token_ids[: len(prompt)]
    assert not mask[len(prompt) - 1]
    assert all(mask[len(prompt) : last + 1])


def test_a_template_that_changes_earlier_answers_makes_a_sequence_of_each_answer() -> None:
    tokenizer = make_tokenizer(chat_template=FORGETS_EARLIER_ANSWERS)
    first, second = render_with(chat_template(tokenizer), CONVERSATION, None)
    assert first == render_chat(tokenizer, CONVERSATION[:3], None)
    assert "(before)" in tokenizer.decode(second.token_ids)
    assert learned_texts(tokenizer, *second) == ["It is warm.<|end|>"]


def test_a_template_whose_prompt_does_not_begin_the_answer_is_refused() -> None:
    tokenizer = make_tokenizer(
        chat_template=WITHOUT_MARKS.replace(
            "{%- if add_generation_prompt -%}", "{%- if add_generation_prompt -%}{{- 'Now: ' -}}"
        )
    )
    with pytest.raises(InvalidDataset, match=r"prompt .* for messages\[2\] is not how it begins") as caught:
        render_chat(tokenizer, CONVERSATION, None)
    assert (caught.value.code, caught.value.param) == ("template_not_incremental", "messages[2]")


def test_messages_that_the_template_refuses_are_a_problem_of_the_row() -> None:
    tokenizer = make_tokenizer(chat_template="{{ raise_exception('no such thing') }}")
    row = parse_row(json.dumps({"messages": CONVERSATION}).encode())
    assert isinstance(row, ChatRow)
    with pytest.raises(InvalidDataset, match="no such thing"):
        render_row(tokenizer, row)


def test_chats_need_a_template() -> None:
    row = parse_row(json.dumps({"messages": CONVERSATION}).encode())
    assert isinstance(row, ChatRow)
    with pytest.raises(InvalidDataset, match="no chat template"):
        render_row(make_tokenizer(chat_template=None), row)


def test_developer_messages_and_text_parts_are_rendered_as_system_and_text() -> None:
    tokenizer = make_tokenizer()
    other = [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}],
        }
    ]
    assert render_prompt(tokenizer, [*other, *CONVERSATION[1:2]], None) == render_prompt(
        tokenizer, CONVERSATION[:2], None
    )


def test_a_completion_and_its_end_are_learned_after_the_prompt_as_served() -> None:
    tokenizer = make_tokenizer()
    token_ids, mask = render_completions(tokenizer, [("the invoice", " was charged")])[0]
    prompt = encode_prompt(tokenizer, "the invoice")
    assert token_ids[: len(prompt)] == prompt
    assert learned_texts(tokenizer, token_ids, mask) == [" was charged<|end|>"]


def test_a_completion_that_would_share_a_token_with_the_prompt_is_encoded_apart() -> None:
    tokenizer = make_tokenizer()
    assert len(tokenizer.encode("the")) < len(tokenizer.encode("th")) + len(tokenizer.encode("e"))
    token_ids, mask = render_completions(tokenizer, [("th", "e")])[0]
    assert token_ids[: len(encode_prompt(tokenizer, "th"))] == encode_prompt(tokenizer, "th")
    assert learned_texts(tokenizer, token_ids, mask) == ["e<|end|>"]


def test_there_is_one_beginning_of_text_however_it_is_added() -> None:
    bos_template = "{{- '<|system|>' -}}" + CHAT_TEMPLATE
    tokenizer = make_tokenizer(chat_template=bos_template)
    bos = tokenizer.convert_tokens_to_ids("<|system|>")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|system|> $A", special_tokens=[("<|system|>", bos)]
    )
    chat = render_chat(tokenizer, CONVERSATION[1:3], None)
    assert chat.token_ids.count(bos) == 1
    completion, alone = render_completions(tokenizer, [("hello", " there"), ("", "there")])
    assert completion.token_ids.count(bos) == 1
    assert completion.token_ids[0] == bos
    assert alone.mask[0] is False
