"""Separates a model's reasoning from its answer, in the form in which the chat template writes it.

Qwen3 begins an answer with `<think>…</think>`, gpt-oss with a message in its `analysis` channel and the
header of the `final` one. The template renders one probe answer with reasoning and one without, and the form
is the text around them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cluster.bases.text.chat_template import ChatTemplate
from cluster.bases.text.control_tokens import Message
from cluster.bases.text.template_record import WORD, assistant_message
from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.errors import InvalidRequest

_THOUGHT = "Pondering"
_EMPTY_BLOCK = re.compile(r"\s*(<[^<>]+>)\s*(</?[^<>]+>\s*)")
_RECIPIENT = re.compile(rb"to=functions\.([A-Za-z0-9_-]+)")
_HEADER = re.compile(rb"(<[^<>]+>)[a-z]+(<[^<>]+>)")
_HEADER_BYTES = 200
"""A channel's header is never longer."""
_END_OF_PROMPT = re.compile(r"<(/?)(think|thinking|thought|reasoning)>\s*$")


@dataclass(frozen=True)
class ReasoningForm:
    """The form of an answer with reasoning: (`opening` REASONING `closing` `after`)? `lead` ANSWER."""

    opening: str
    closing: str
    after: str
    """White space between `closing` and what follows it."""
    lead: str
    """Header of an answer, with or without reasoning before it. Tool calls have none."""
    marks: frozenset[int]
    """Special tokens in the form, which are hidden in other texts."""


@dataclass(frozen=True)
class ReasoningStart:
    """How the answer to one prompt may begin."""

    form: ReasoningForm
    place: Literal["before", "inside", "after"]
    """Where the prompt ends: before any reasoning, inside it, or after its closing."""


def find_reasoning(template: ChatTemplate, vocabulary: Vocabulary) -> ReasoningForm | None:
    """Returns the form of reasoning; None if the template has none."""
    prompt = template.render(template.opening, None, add_generation_prompt=True).text
    plain = _after_prompt(template, prompt, assistant_message(content=WORD))
    thought = {"reasoning_content": _THOUGHT, "thinking": _THOUGHT}
    reasoned = _after_prompt(template, prompt, assistant_message(content=WORD) | thought)
    opening = closing = ""
    lead = (plain or "").partition(WORD)[0]
    if reasoned is not None and _THOUGHT in reasoned:
        opening, _, rest = reasoned.partition(_THOUGHT)
        closing = rest.partition(WORD)[0]
        if opening and lead and closing.endswith(lead):
            closing = closing.removesuffix(lead)
        else:
            lead = ""
    elif empty := _EMPTY_BLOCK.fullmatch(lead):
        opening, closing, lead = empty[1], empty[2], ""
    if not opening.strip() and (found := _END_OF_PROMPT.search(prompt)):
        opening, closing = f"<{found[2]}>", closing or f"</{found[2]}>\n\n"
    if not opening.strip().startswith(("<", "[")) or not closing.strip():
        return None
    marker = closing.rstrip()
    texts = opening + closing + lead
    marks = frozenset(id_ for text, id_ in vocabulary.added.items() if text in texts) & vocabulary.special
    return ReasoningForm(opening.strip(), marker.lstrip(), closing[len(marker) :], lead, marks)


def reasoning_start(form: ReasoningForm, prompt: str) -> ReasoningStart:
    """Returns how the answer may begin. `prompt` is the rendered prompt, which ends with the header of the
    answer."""
    text = prompt.rstrip()
    if text.endswith(form.opening):
        return ReasoningStart(form, "inside")
    # If answers have headers of their own, a closing is only the end of a turn.
    is_after = not form.lead and text.endswith(form.closing)
    return ReasoningStart(form, "after" if is_after else "before")


class ReasoningReader:
    """Separates the bytes of a growing text, and holds back no more than may become a part of the form.

    White space around reasoning is dropped. Reasoning that is only white space is dropped entirely."""

    def __init__(self, start: ReasoningStart) -> None:
        form = start.form
        self._opening, self._closing = form.opening.encode(), form.closing.encode()
        self._after, self._lead = form.after.encode(), form.lead.encode()
        self._channel = _Channel(form.opening.encode(), form.lead.encode())
        self._left_after = b""
        """Rest of `form.after` that may still come."""
        self._held = b""
        self._has_reasoned = False
        self.state: Literal["header", "reasoning", "answer"] = (
            "reasoning" if start.place == "inside" else "header"
        )

    @property
    def is_undecided(self) -> bool:
        """Whether what is held back may be the beginning of the answer."""
        return self.state == "header" and bool(self._held)

    def push(self, raw: bytes) -> tuple[bytes, bytes]:
        """Adds the bytes of one token. Returns the bytes of reasoning and of the answer that are certain
        now."""
        self._held += raw
        reasoning = b""
        while self.state == "reasoning" or not self._begin():
            if self.state == "header":
                return reasoning, b""
            thought, is_closed = self._reason()
            reasoning += thought
            if not is_closed:
                return reasoning, b""
        answer, self._held = self._held, b""
        return reasoning, answer

    def finish(self) -> tuple[bytes, bytes]:
        """Returns what was held back, unless it is more than a character of the form."""
        held, self._held = self._held, b""
        if self.state == "reasoning":
            return (b"" if len(held.strip()) > 1 else held.rstrip()), b""
        return b"", (b"" if len(held.strip()) > 1 else held)

    def _begin(self) -> bool:
        """Reads the header as far as possible. Returns whether the answer has begun."""
        if self.state == "answer":
            return True
        while self._left_after and self._held[:1] == self._left_after[:1]:
            self._held, self._left_after = self._held[1:], self._left_after[1:]
        text = self._held.lstrip()
        if text.startswith(self._opening):
            self.state, self._held = "reasoning", text.removeprefix(self._opening)
            self._has_reasoned = False
            return False
        if self._lead and text.startswith(self._lead):
            self.state, self._held = "answer", text.removeprefix(self._lead)
            return True
        if self._is_begun(text):
            return False
        if (header := self._channel.read(text)) is not None:
            call, rest = header
            # Text in other channels is not part of the answer, unless it is a call.
            self.state, self._held = ("answer" if call else "reasoning"), call + rest
            return bool(call)
        self.state = "answer"
        return True

    def _is_begun(self, text: bytes) -> bool:
        starts = self._opening.startswith(text) or self._lead.startswith(text)
        return starts or self._channel.is_begun(text)

    def _reason(self) -> tuple[bytes, bool]:
        """Returns the reasoning that is certain, and whether it has been closed."""
        if not self._has_reasoned:
            self._held = self._held.lstrip()
        before, found, rest = self._held.partition(self._closing)
        if found:
            self.state, self._held, self._left_after = "header", rest, self._after
            return before.rstrip(), True
        sizes: Sequence[int] = range(min(len(self._closing), len(before)), 0, -1)
        num_begun = next((size for size in sizes if self._closing.startswith(before[-size:])), 0)
        thought = before[: len(before) - num_begun].rstrip()
        self._held = before[len(thought) :]
        self._has_reasoned = self._has_reasoned or bool(thought)
        return thought, False


class _Channel:
    """The headers of channels other than those of reasoning and answers, in models whose reasoning and
    answers have headers of the same form. gpt-oss names the recipient of a call after its channel or, as its
    chat template does, before it."""

    def __init__(self, opening: bytes, lead: bytes) -> None:
        first, second = _HEADER.fullmatch(opening), _HEADER.fullmatch(lead)
        is_shared = first is not None and second is not None and first.groups() == second.groups()
        self._start, self._end = first.groups() if first is not None and is_shared else (b"", b"")

    def is_begun(self, text: bytes) -> bool:
        if not self._start or not self._end or len(text) > _HEADER_BYTES:
            return False
        return text.startswith(self._start) and self._end not in text

    def read(self, text: bytes) -> tuple[bytes, bytes] | None:
        """Returns a call's header as the chat template writes it, or b"" for any other header, and what
        follows the header. None if the text does not begin with a header."""
        if not self._start or not self._end or not text.startswith(self._start):
            return None
        header, found, rest = text.partition(self._end)
        if not found:
            return None
        recipient = _RECIPIENT.search(header)
        if recipient is None:
            return b"", rest
        return b" " + recipient[0] + self._start + b"commentary json" + self._end, rest


def _after_prompt(template: ChatTemplate, prompt: str, answer: Message) -> str | None:
    """Returns the rendering of an answer after its prompt; None if the template refuses it or the prompt does
    not begin it."""
    try:
        whole = template.render([*template.opening, answer], None, add_generation_prompt=False).text
    except InvalidRequest:
        return None
    return whole.removeprefix(prompt) if whole.startswith(prompt) else None
