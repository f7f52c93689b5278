"""Finds the answers in a conversation's tokens: what a model learns to write.

An answer begins after the header that ends a prompt, and ends with the token that ends the turn. It is found
in the rendered text, as a span of characters. The text is then encoded so that no token crosses the beginning
or the end of an answer, because a prompt's tokens end where the answer begins.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cluster.bases.text.chat_template import ChatTemplate, Message, Tool, dropped, text_of
from cluster.bases.text.control_tokens import Rendering
from cluster.contracts.errors import InvalidDataset, InvalidRequest

_Span = tuple[int, int]


class Conversation(NamedTuple):
    token_ids: list[int]
    answers: list[_Span]
    """The span [start, end) of each assistant message, in tokens."""


def added_end(template: ChatTemplate) -> str | None:
    """The end-of-text token that `encode_conversation` adds after the last answer; None if the template ends
    answers itself. Raises InvalidRequest if there is neither, because the tuned model would never stop."""
    if template.record.turn_ends:
        return None
    if template.end_of_text is None:
        raise InvalidRequest(
            "This model cannot be tuned on chats: its chat template ends answers with no token of its own, "
            "and its tokenizer has no end-of-text token, so the tuned model would never stop.",
            code="no_end_of_turn",
            param="model",
        )
    return template.end_of_text[0]


def encode_conversation(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> Conversation:
    """Renders and encodes a conversation, and finds its answers: by the template's `{% generation %}` marks
    if it has them, otherwise by comparing the renderings before and after each answer.

    Raises InvalidRequest if the template refuses the conversation or would drop a part of it, and
    InvalidDataset if training on an answer would not match serving.
    """
    template.check_complete(messages, tools)
    _check_answers(template, messages)
    rendering, spans = _generated(template, messages, tools)
    if len(spans) != sum(message["role"] == "assistant" for message in messages):
        rendering, spans = _between_renderings(template, messages, tools)
    spans = [_without_layout(template, rendering.text, *span) for span in spans]
    ends_itself = added_end(template) is None or messages[-1]["role"] != "assistant"
    if not ends_itself:
        rendering = rendering._replace(text=rendering.text[: spans[-1][1]])
    token_ids, places = template.encoder.encode(rendering, [cut for span in spans for cut in span])
    if not ends_itself and template.end_of_text is not None:
        token_ids.append(template.end_of_text[1])
        places[-1] += 1
    return Conversation(token_ids, list(zip(places[::2], places[1::2], strict=True)))


def _check_answers(template: ChatTemplate, messages: Sequence[Message]) -> None:
    """Refuses learned answers of which the template would drop a part, even one that a prompt could omit."""
    for index, message in enumerate(messages):
        if message["role"] != "assistant" or message.get("weight", 1) == 0:
            continue
        place, text = f"messages[{index}]", text_of(message.get("content"))
        if message.get("tool_calls"):
            if text and "text_beside_calls" in template.record.drops:
                raise dropped("text_beside_calls", place)
        elif text and not text.strip() and template.record.trims_answers:
            raise InvalidRequest(
                f"{place} is white space, which this model's chat template removes.", param=place
            )


def _generated(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> tuple[Rendering, list[_Span]]:
    if not template.has_generation_marks:
        return Rendering(""), []
    rendering, marked = template.render_generated(messages, tools)
    spans: list[_Span] = []
    for start, end in marked:
        if spans and spans[-1][1] == start:
            start = spans.pop()[0]
        spans.append((start, end))
    return rendering, [(start, _after_turn_end(template, rendering.text, end)) for start, end in spans]


def _after_turn_end(template: ChatTemplate, text: str, end: int) -> int:
    """Extends an answer by the end of its turn, which some templates leave outside their marks."""
    turn_ends = template.record.turn_ends
    if any(text.endswith(turn_end, 0, end) for turn_end in turn_ends):
        return end
    return end + next((len(turn_end) for turn_end in turn_ends if text.startswith(turn_end, end)), 0)


def _between_renderings(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> tuple[Rendering, list[_Span]]:
    """Raises InvalidDataset if the rendering up to an answer is not a prefix of the whole rendering, because
    the prompts at serving would then differ from those in training."""
    whole = template.render(messages, tools, add_generation_prompt=False)
    spans = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        start = _answer_start(template, messages[: index + 1], tools, whole)
        answered = whole.text
        if index < len(messages) - 1:
            answered = template.render(
                messages[: index + 1], tools, add_generation_prompt=False, like=whole
            ).text
        if start is None or not whole.text.startswith(answered):
            raise InvalidDataset(
                f"The model's chat template renders messages[{index}] differently with what follows or "
                "precedes it, so that training on it would not match serving. Give every answer a row of its "
                "own, with the messages before it.",
                code="template_not_incremental",
                param=f"messages[{index}]",
            )
        spans.append((start, len(answered)))
    return whole, spans


def _answer_start(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Tool] | None, whole: Rendering
) -> int | None:
    """Where the last of `messages` begins in `whole`, after its header; None if the rendering of its prompt
    is not a prefix of `whole`."""
    *before, answer = messages
    if before:
        prompt = template.render(before, tools, add_generation_prompt=True, like=whole).text
        return len(prompt) if whole.text.startswith(prompt) else None
    # The first message has no prompt to render. Rendering another answer shows what precedes any answer.
    text = "Other" if text_of(answer.get("content")).strip().startswith("A") else "Another"
    other = template.render(
        [{"role": "assistant", "content": text}], tools, add_generation_prompt=False, like=whole
    ).text
    pairs = enumerate(zip(whole.text, other, strict=False))
    shared = next((place for place, (ours, theirs) in pairs if ours != theirs), len(other))
    header = template.record.header
    place = whole.text.rfind(header, 0, shared)
    return place + len(header) if header and place >= 0 else shared


def _without_layout(template: ChatTemplate, text: str, start: int, end: int) -> _Span:
    """The span without what the template writes after the end of an answer, which the model never writes."""
    if not template.record.turn_ends:
        tail = template.record.tail
        return start, end - len(tail) if text.endswith(tail, start, end) else end
    found = template.find_control(text[start:end])
    if found and not text[start + found[-1].end() : end].strip():
        end = start + found[-1].end()
    return start, end
