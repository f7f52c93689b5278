"""Finds the answers in a conversation's tokens, which are what a model learns to write.

An answer begins after the header that ends a prompt, and ends with the token that ends the turn. It is found
in the rendered text, as a span of characters. The text is then encoded so that no token crosses the beginning
or the end of an answer, because a prompt's tokens end where the answer begins.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cluster.bases.text.chat_template import ChatTemplate, text_of
from cluster.bases.text.control_tokens import Message, Rendering, Tool
from cluster.contracts.errors import InvalidDataset, InvalidRequest

_Span = tuple[int, int]


class Conversation(NamedTuple):
    token_ids: list[int]
    learned: list[_Span]
    """The span [start, end) of each learned answer, in tokens."""


def added_end(template: ChatTemplate) -> str | None:
    """Returns the end-of-text token that `encode_conversation` adds after the last answer; None if the
    template ends answers itself. Raises InvalidRequest if there is neither, because the tuned model would
    never stop."""
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
) -> list[Conversation]:
    """Renders and encodes a conversation, and finds its learned answers: the assistant messages whose
    `weight` is not 0.

    The prompt of each learned answer is what serving renders from the messages before it. Some templates
    write an answer differently once other messages follow, so that one sequence cannot hold the prompts of
    all answers. Then there is one sequence for each learned answer, which ends with that answer.

    Raises InvalidRequest if the template refuses the conversation or would drop a part of it, and
    InvalidDataset if training on an answer would not match serving.
    """
    template.check_complete(messages, tools)
    _check_answers(template, messages)
    places = [index for index, message in enumerate(messages) if is_learned(message)]
    found = _find_answers(template, messages, tools, places)
    if found is not None:
        return [_encoded(template, messages, *found)]
    return [_encode_last(template, messages[: place + 1], tools) for place in places]


def is_learned(message: Message) -> bool:
    return bool(message["role"] == "assistant" and message.get("weight", 1) != 0)


def _encode_last(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> Conversation:
    """Encodes a conversation in which only the last message, an answer, is learned."""
    place = len(messages) - 1
    found = _find_answers(template, messages, tools, [place])
    if found is None:
        raise InvalidDataset(
            f"The prompt that the model's chat template writes for messages[{place}] is not how it begins "
            "that answer, so that training on it would not match serving. Use prompts and completions with "
            "this model instead of messages.",
            code="template_not_incremental",
            param=f"messages[{place}]",
        )
    return _encoded(template, messages, *found)


def _find_answers(
    template: ChatTemplate,
    messages: Sequence[Message],
    tools: Sequence[Tool] | None,
    places: Sequence[int],
) -> tuple[Rendering, list[_Span]] | None:
    """Renders a conversation and finds the answers at these places, in characters. An answer begins where the
    rendering of its prompt ends: the template's `{% generation %}` marks may include the header. It ends with
    its mark if the template has marks, otherwise where the rendering up to it ends. None if an answer is not
    rendered as it is with nothing after it, or if its prompt is not."""
    rendering, ends = _marked_ends(template, messages, tools)
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if len(ends) != len(answers):
        rendering, ends = template.render(messages, tools, add_generation_prompt=False), []
    spans = []
    for place in places:
        start = _answer_start(template, messages[: place + 1], tools, rendering)
        end = _answered(template, messages, tools, place, rendering)
        if start is None or end is None:
            return None
        spans.append((start, ends[answers.index(place)] if ends else end))
    return rendering, spans


def _encoded(
    template: ChatTemplate, messages: Sequence[Message], rendering: Rendering, spans: Sequence[_Span]
) -> Conversation:
    spans = [_without_layout(template, rendering.text, *span) for span in spans]
    ends_itself = added_end(template) is None or messages[-1]["role"] != "assistant"
    if not ends_itself:
        end = _without_layout(template, rendering.text, 0, len(rendering.text))[1]
        rendering = rendering._replace(text=rendering.text[:end])
    token_ids, places = template.encoder.encode(rendering, [cut for span in spans for cut in span])
    if not ends_itself and template.end_of_text is not None:
        token_ids.append(template.end_of_text[1])
        if is_learned(messages[-1]):
            places[-1] += 1
    return Conversation(token_ids, list(zip(places[::2], places[1::2], strict=True)))


def _check_answers(template: ChatTemplate, messages: Sequence[Message]) -> None:
    """Refuses learned answers if the template would drop a part of them, even a part that a prompt could
    omit."""
    for index, message in enumerate(messages):
        if is_learned(message):
            template.check_learned(message, f"messages[{index}]")


def _marked_ends(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> tuple[Rendering, list[int]]:
    """Where each part that the template marks as generated ends, with the end of its turn."""
    if not template.has_generation_marks:
        return Rendering(""), []
    rendering, marked = template.render_generated(messages, tools)
    starts = [start for start, _ in marked[1:]]
    # Two parts without anything between them are one.
    ends = [end for (_, end), following in zip(marked, [*starts, None], strict=False) if end != following]
    return rendering, [_after_turn_end(template, rendering.text, end) for end in ends]


def _after_turn_end(template: ChatTemplate, text: str, end: int) -> int:
    """Extends an answer by the end of its turn, which some templates leave outside their marks."""
    turn_ends = template.record.turn_ends
    if any(text.endswith(turn_end, 0, end) for turn_end in turn_ends):
        return end
    return end + next((len(turn_end) for turn_end in turn_ends if text.startswith(turn_end, end)), 0)


def _answered(
    template: ChatTemplate,
    messages: Sequence[Message],
    tools: Sequence[Tool] | None,
    place: int,
    whole: Rendering,
) -> int | None:
    """Returns where the conversation up to and including the answer at `place` ends in `whole`; None if
    `whole` does not begin with it."""
    if place == len(messages) - 1:
        return len(whole.text)
    answered = template.render(messages[: place + 1], tools, add_generation_prompt=False, like=whole).text
    return len(answered) if whole.text.startswith(answered) else None


def _answer_start(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Tool] | None, whole: Rendering
) -> int | None:
    """Returns where the last of `messages` begins in `whole`, after its header; None if the rendering of its
    prompt is not a prefix of `whole`."""
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
    """Returns the span without what the template writes after the end of an answer, which the model never
    writes."""
    if not template.record.turn_ends:
        tail = template.record.tail
        return start, end - len(tail) if text.endswith(tail, start, end) else end
    found = template.find_control(text[start:end])
    if found and not text[start + found[-1].end() : end].strip():
        end = start + found[-1].end()
    return start, end
