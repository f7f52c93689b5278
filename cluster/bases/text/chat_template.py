"""Turns conversations into token ids. Training and serving share this rendering, so that they never
differ."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from cluster.bases.text.control_tokens import (
    ControlTokens,
    Message,
    Rendering,
    Tool,
    control_tokens,
    free_marks,
)
from cluster.bases.text.template_options import Options, TemplateOptions
from cluster.bases.text.template_record import OPENINGS, Dropped, TemplateRecord, probe_template
from cluster.bases.text.text_encoder import TextEncoder
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import ChatEnding
from cluster.contracts.nesting import is_too_deep

_SYSTEM_ROLES = ("system", "developer")

_RENDERING = threading.Lock()
"""transformers records the parts that `{% generation %}` marks in the compiled template, which all threads
share."""

_DROPPED: dict[Dropped, str] = {
    "tools": "renders no tools",
    "tool_calls": "renders no calls of tools",
    "parallel_calls": "renders only the first call of a message; write one call a message",
    "tool_results": "renders no results of tools",
    "system": "renders no system message; put the instructions into the first user message",
    "later_system": "renders only the first system message; put all instructions into that one",
    "system_after_others": "renders a system message only at the beginning; put the instructions there",
    "text_beside_calls": "renders no text beside calls of tools; give the answer either text or calls",
    "reasoning": "renders no reasoning before an answer; leave reasoning_content out",
    "reasoning_beside_calls": "renders no reasoning before calls of tools; leave reasoning_content out",
    "think_block": "leaves a <think> block out of an answer; remove it",
}

_THINK_BLOCK = re.compile(r"\s*<think>(.*?)</think>\n*", re.DOTALL)
"""How models write their reasoning into an answer's text, and how files hold it that were made with them."""


@lru_cache(maxsize=8)
def chat_template(tokenizer: Any) -> "ChatTemplate":
    """Returns the chat template of a long-lived tokenizer, created once: the dataset compiler asks for it for
    every file."""
    return ChatTemplate(tokenizer)


class ChatTemplate:
    """A base's chat template and tokenizer. Messages and tools are in OpenAI's format. Thread-safe.

    Every method raises InvalidRequest if the model has no chat template or its template refuses the
    conversation, and whatever TextEncoder raises."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @cached_property
    def record(self) -> TemplateRecord:
        special = {token.content for token in self._tokenizer.added_tokens_decoder.values() if token.special}
        return probe_template(
            lambda messages, tools, add_generation_prompt: self._rendered(
                messages, tools, add_generation_prompt=add_generation_prompt
            )[0],
            lambda text: [(match[0], match.end()) for match in self.find_control(text)],
            frozenset(special),
            self.opening,
        )

    @cached_property
    def encoder(self) -> TextEncoder:
        return TextEncoder(self._tokenizer, self._control)

    @cached_property
    def opening(self) -> list[Message]:
        """Messages that a conversation in this template may start with."""
        *others, last = OPENINGS
        for opening in others:
            try:
                self._rendered(opening, None, add_generation_prompt=True)
            except InvalidRequest:
                continue
            return opening
        self._rendered(last, None, add_generation_prompt=True)
        return last

    @property
    def has_generation_marks(self) -> bool:
        template = self._tokenizer.chat_template
        return isinstance(template, str) and "endgeneration" in template

    @property
    def end_of_text(self) -> tuple[str, int] | None:
        """The tokenizer's end-of-text token and its id."""
        text, id_ = self._tokenizer.eos_token, self._tokenizer.eos_token_id
        return None if id_ is None else (text, id_)

    @property
    def end_token_ids(self) -> frozenset[int]:
        """The tokens that end an answer in this template."""
        return frozenset(self._control.ids[token] for token in self.record.end_tokens)

    def prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None,
        *,
        options: Options | None = None,
        ending: ChatEnding = "new_answer",
    ) -> Rendering:
        """Renders `messages`, with `options` as variables of the template, up to where an answer begins.
        Raises InvalidRequest, with the place, if the template would drop some of their content or does not
        read one of the options."""
        self.check_complete(messages, tools)
        self._options.check(options or {})
        if ending == "final_message":
            return self._open(messages, tools, options)
        has_header = ending == "new_answer"
        return self._render_both(messages, tools, add_generation_prompt=has_header, options=options)[0]

    def check_complete(self, messages: Sequence[Message], tools: Sequence[Tool] | None) -> None:
        """Raises InvalidRequest, with the place, if the template would drop some of the content."""
        drops = self.record.drops
        if tools and "tools" in drops:
            raise _dropped("tools", "tools")
        has_system = False
        for index, message in enumerate(messages):
            for found in _parts_of(message, is_first=index == 0, has_system=has_system):
                if found in drops:
                    raise _dropped(found, f"messages[{index}]")
            has_system = has_system or message["role"] in _SYSTEM_ROLES

    def check_learned(self, message: Message, param: str) -> None:
        """Raises InvalidRequest if the template would drop a part of an answer that a prompt may omit, but
        that a model could then not learn to write."""
        drops, text = self.record.drops, text_of(message.get("content"))
        has_calls = bool(message.get("tool_calls"))
        if has_calls and text and "text_beside_calls" in drops:
            raise _dropped("text_beside_calls", param)
        if message.get("reasoning_content") and (found := _reasoning(has_calls)) in drops:
            raise _dropped(found, param)
        if "think_block" in drops and _THINK_BLOCK.match(text) and not self._reads_reasoning(message):
            raise _dropped("think_block", param)
        if text and not text.strip() and self.record.trims_answers and not has_calls:
            raise InvalidRequest(
                f"{param} is white space, which this model's chat template removes.", param=param
            )

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None,
        *,
        add_generation_prompt: bool,
        like: Rendering | None = None,
    ) -> Rendering:
        """Returns the template's text, even if it drops content. With `add_generation_prompt`, the header of
        an answer follows. `like` is a rendering of more messages, whose marks are reused."""
        return self._render_both(
            messages, tools, add_generation_prompt=add_generation_prompt, marks=like.marks if like else None
        )[0]

    def render_generated(
        self, messages: Sequence[Message], tools: Sequence[Tool] | None
    ) -> tuple[Rendering, list[tuple[int, int]]]:
        """Returns the template's text, and the [start, end) of each part that it marks with `{% generation
        %}`."""
        return self._render_both(messages, tools, add_generation_prompt=False, finds_answers=True)

    def encode(self, rendering: Rendering) -> list[int]:
        return self.encoder.encode(rendering)[0]

    def find_control(self, text: str) -> list[re.Match[str]]:
        """Returns the control tokens in a text, in order."""
        return self._control.find(text)

    def _open(
        self, messages: Sequence[Message], tools: Sequence[Tool] | None, options: Options | None
    ) -> Rendering:
        """Renders the conversation up to the end of its last text, without what the template writes after
        it."""
        *others, last = messages
        text = text_of(last.get("content"))
        if self.record.trims_answers:
            text = text.rstrip()
        (end,) = free_marks(messages, tools, 1)
        marked = {**last, "content": text + end}
        conversation = [*others, marked]
        rendering, _ = self._render_both(conversation, tools, add_generation_prompt=False, options=options)
        opened, found, _ = rendering.text.rpartition(end)
        if not found:
            raise InvalidRequest(
                "This model's chat template does not render the final message, so it cannot be continued.",
                code="not_in_chat_template",
                param=f"messages[{len(others)}]",
            )
        return Rendering(opened, rendering.marks)

    @cached_property
    def _options(self) -> TemplateOptions:
        return TemplateOptions(template_text(self._tokenizer))

    @cached_property
    def _control(self) -> ControlTokens:
        # A template may assemble a token from parts, so its output is also searched.
        rendered, _ = self._rendered(self.opening, None, add_generation_prompt=True)
        return control_tokens(self._tokenizer, template_text(self._tokenizer), rendered)

    def _render_both(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None,
        *,
        add_generation_prompt: bool,
        marks: tuple[str, str] | None = None,
        finds_answers: bool = False,
        options: Options | None = None,
    ) -> tuple[Rendering, list[tuple[int, int]]]:
        plain, shown = [self._plain(message) for message in messages], list(tools) if tools else None
        render = partial(self._rendered, add_generation_prompt=add_generation_prompt, options=options)
        if not self._control.are_in(plain, shown):
            text, answers = render(plain, shown, finds_answers=finds_answers)
            return Rendering(text), answers
        (marked, marked_tools), marks = self._control.mark(plain, shown, marks)
        text, answers = render(marked, marked_tools, finds_answers=finds_answers)
        rendering = Rendering(text, marks)
        # Around a token that the template takes for its own, it also writes between the marks.
        is_as_supplied = all(
            not piece.is_supplied or piece.text in self._control.ids for piece in rendering.pieces()
        )
        if not is_as_supplied or rendering.plain != render(plain, shown)[0]:
            raise InvalidRequest(
                f"The messages contain {self._control.first_in(plain, shown)!r}, a control token of this "
                "model, in a place where its chat template changes the text. Remove it.",
                param="messages",
            )
        return rendering, answers

    def _plain(self, message: Message) -> Message:
        """Also moves a think block before an answer to where the template reads reasoning: many templates cut
        it out of the text themselves, and around marked tokens they would not find it."""
        plain = _plain(message)
        block = _THINK_BLOCK.match(plain["content"]) if plain["role"] == "assistant" else None
        if block is None or not self._reads_reasoning(plain):
            return plain
        plain["content"] = plain["content"][block.end() :]
        if thought := block[1].strip():
            plain["reasoning_content"] = thought
        return plain

    def _reads_reasoning(self, message: Message) -> bool:
        """Whether the template reads this answer's reasoning from a key that the answer does not have yet."""
        is_free = message.get("reasoning_content") is None
        return is_free and _reasoning(bool(message.get("tool_calls"))) not in self.record.drops

    def _rendered(
        self,
        messages: list[Message],
        tools: list[Tool] | None,
        *,
        add_generation_prompt: bool,
        finds_answers: bool = False,
        options: Options | None = None,
    ) -> tuple[str, list[tuple[int, int]]]:
        """Returns the template's own text and, if `finds_answers`, the parts that it marks as generated."""
        if not self._tokenizer.chat_template:
            raise InvalidRequest(
                "This model has no chat template; use prompts and completions instead of messages.",
                code="chat_not_supported",
                param="messages",
            )
        try:
            with _RENDERING:
                texts, answers = render_jinja_template(
                    [messages],
                    tools=tools,
                    chat_template=self._tokenizer.get_chat_template(tools=tools),
                    return_assistant_tokens_mask=finds_answers,
                    add_generation_prompt=add_generation_prompt,
                    **self._tokenizer.special_tokens_map,
                    **(options or {}),
                )
        except (TemplateError, TypeError, KeyError, ValueError, RecursionError) as error:
            raise InvalidRequest(
                f"The model's chat template refuses these messages: {error}", param="messages"
            ) from error
        return texts[0], answers[0] if finds_answers else []


def template_text(tokenizer: Any) -> str:
    """Returns the chat template itself, or "" if there is none. A checkpoint's template digest is computed
    from it."""
    template = tokenizer.chat_template
    return template if isinstance(template, str) else json.dumps(template or "", sort_keys=True)


def _dropped(what: Dropped, param: str) -> InvalidRequest:
    """Returns the error for a part of a conversation that a template would drop."""
    return InvalidRequest(
        f"This model's chat template {_DROPPED[what]}.", code="not_in_chat_template", param=param
    )


def text_of(content: Any) -> str:
    """Returns a message's content as one string, or "" if it has none."""
    return content if isinstance(content, str) else "".join(part["text"] for part in content or ())


def _parts_of(message: Message, *, is_first: bool, has_system: bool) -> Iterator[Dropped]:
    """Yields what a template must render of a message, its text aside. `has_system` says that an earlier
    message is of the system."""
    if message["role"] in _SYSTEM_ROLES:
        yield "system"
        if not is_first:
            yield "later_system" if has_system else "system_after_others"
    elif message["role"] == "tool":
        yield "tool_results"
    elif calls := message.get("tool_calls"):
        yield "tool_calls"
        if len(calls) > 1:
            yield "parallel_calls"


def _reasoning(has_calls: bool) -> Dropped:
    return "reasoning_beside_calls" if has_calls else "reasoning"


def _plain(message: Message) -> Message:
    """Converts OpenAI's message to the form that templates of every family accept: content as one string,
    arguments of tool calls as an object, no `developer` role, and no fields of Tunery's own."""
    plain = {name: value for name, value in message.items() if name != "weight" and value is not None}
    if plain["role"] == "developer":
        plain["role"] = "system"
    plain["content"] = text_of(plain.get("content"))
    if calls := plain.get("tool_calls"):
        plain["tool_calls"] = [_plain_call(call) for call in calls]
    return plain


def _plain_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except (TypeError, ValueError, RecursionError):
        return call
    if not isinstance(arguments, dict) or is_too_deep(function["arguments"], arguments):
        return call
    return {**call, "function": {**function, "arguments": arguments}}
