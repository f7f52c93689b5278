"""Tokenizes a request's prompt and checks it against the model's context length."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cluster.bases.text.chat_template import ChatTemplate
from cluster.bases.text.plain_prompt import encode_prompt
from cluster.bases.text.text_size import check_size
from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.context_length import too_many_tokens
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import (
    ChatPrompt,
    GenerationRequest,
    Prompt,
    Sampling,
    TextPrompt,
    TokenPrompt,
)
from cluster.serving.text.checked import Checks
from cluster.serving.text.grammar import Grammar, json_grammar, tools_grammar
from cluster.serving.text.reasoning import ReasoningForm, ReasoningStart, find_reasoning, reasoning_start
from cluster.serving.text.tool_calls import ExpectedCalls
from cluster.serving.text.tool_form import ToolForm, find_form


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    token_ids: list[int]
    text: str
    """The text that `echo` repeats."""
    max_tokens: int
    """Resolved maximum number of new tokens."""
    grammar: Grammar | None
    """The grammar of the new text."""
    calls: ExpectedCalls | None
    """Tools that the new text may call."""
    reasoning: ReasoningStart | None = None
    """How the new text may begin with reasoning; None if all of it is the answer."""

    @property
    def checks(self) -> Checks:
        """Checks for what the grammar does not enforce."""
        return Checks() if self.grammar is None else self.grammar.checks


class PromptTokenizer:
    """Tokenizes prompts in the same way as training. Not thread-safe: fast tokenizers keep padding and
    truncation as state."""

    def __init__(
        self,
        tokenizer: Any,
        vocabulary: Vocabulary,
        *,
        context_length: int,
        num_embeddings: int,
        full_length: int | None = None,
    ) -> None:
        """`full_length` is the context in the catalogue. `context_length` is the part of it for which serving
        has memory."""
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)
        self._vocabulary = vocabulary
        self._context_length = context_length
        self._full_length = full_length
        self._num_embeddings = num_embeddings

    def tokenize(self, request: GenerationRequest) -> TokenizedPrompt:
        """Tokenizes the prompt. Raises InvalidRequest, and ContextLengthExceeded if prompt and completion
        together do not fit."""
        token_ids, text, rendered = self._encode(request.prompt)
        self._check_tokens("logit_bias", request.sampling.logit_bias)
        self._check_tokens("stop_token_ids", request.sampling.stop_token_ids)
        room = self._room(request, len(token_ids))
        reasoning = self._reasoning(request.prompt, rendered)
        grammar, calls = self._demands(request.prompt, request.sampling, reasoning)
        return TokenizedPrompt(token_ids, text, room, grammar, calls, reasoning)

    def after_prefix(
        self, prompt: TokenizedPrompt, request: GenerationRequest, prefix_length: int
    ) -> TokenizedPrompt:
        """Adjusts the prompt for a prefix that takes `prefix_length` tokens of the context. Raises
        ContextLengthExceeded."""
        room = self._room(request, len(prompt.token_ids), prefix_length)
        return replace(prompt, max_tokens=room)

    def _reasoning(self, prompt: Prompt, rendered: str) -> ReasoningStart | None:
        if not isinstance(prompt, ChatPrompt) or prompt.ending != "new_answer":
            return None
        return None if self._reasoning_form is None else reasoning_start(self._reasoning_form, rendered)

    def _demands(
        self, prompt: Prompt, sampling: Sampling, reasoning: ReasoningStart | None
    ) -> tuple[Grammar | None, ExpectedCalls | None]:
        schema, use = sampling.json_schema, sampling.tool_use
        tools = (prompt.tools if isinstance(prompt, ChatPrompt) else None) or []
        if use is not None and use.names is not None:
            tools = [tool for tool in tools if tool["function"]["name"] in use.names]
        if use is not None and tools and self._form is not None:
            names = tuple(tool["function"]["name"] for tool in tools)
            calls = ExpectedCalls(self._form, names, use.is_parallel, use.is_required)
            added = self._vocabulary.added
            return tools_grammar(self._form, tools, use, schema, added, reasoning), calls
        if use is not None and use.is_required:
            raise InvalidRequest(
                "This model's chat template has no form of tool calls that can be enforced; set "
                "'tool_choice' to 'auto'.",
                code="tool_calls_not_supported",
                param="tool_choice",
            )
        if schema is None:
            return None, None
        return json_grammar(schema, self._vocabulary.added, reasoning), None

    @cached_property
    def _form(self) -> ToolForm | None:
        return find_form(self._template, self._vocabulary)

    @cached_property
    def _reasoning_form(self) -> ReasoningForm | None:
        return find_reasoning(self._template, self._vocabulary)

    def _encode(self, prompt: TextPrompt | TokenPrompt | ChatPrompt) -> tuple[list[int], str, str]:
        """Returns the prompt's tokens, the text that `echo` repeats, and the text that was encoded."""
        match prompt:
            case TokenPrompt(token_ids=token_ids) if token_ids:
                for token in token_ids:
                    if not 0 <= token < self._num_embeddings:
                        raise InvalidRequest(
                            f"The prompt holds token {token}; this model has tokens 0 to "
                            f"{self._num_embeddings - 1}.",
                            param="prompt",
                        )
                return token_ids, self._vocabulary.text(token_ids), ""
            case ChatPrompt():
                rendering = self._template.prompt(
                    prompt.messages, prompt.tools, options=prompt.template_options, ending=prompt.ending
                )
                self._check_size(rendering.plain, "messages")
                token_ids = self._template.encode(rendering)
                return token_ids, self._vocabulary.text(token_ids), rendering.plain
            case _:
                given = prompt if isinstance(prompt, TextPrompt) else TextPrompt(text="")
                self._check_size(given.text, "prompt")
                token_ids = encode_prompt(
                    self._tokenizer, given.text, split_special_tokens=given.split_special_tokens
                )
                return token_ids, given.text, given.text

    def _check_tokens(self, param: str, tokens: Iterable[int]) -> None:
        for token in tokens:
            if not 0 <= token < self._num_embeddings:
                raise InvalidRequest(
                    f"{param} names token {token}; this model has tokens 0 to {self._num_embeddings - 1}.",
                    param=param,
                )

    def _check_size(self, text: str, param: str) -> None:
        check_size(
            self._tokenizer,
            text,
            context_length=self._context_length,
            param=param,
            full_length=self._full_length,
        )

    def _room(self, request: GenerationRequest, num_prompt: int, prefix_length: int = 0) -> int:
        limit, requested = self._context_length - prefix_length, request.sampling.max_tokens
        room = limit - num_prompt if requested is None and num_prompt < limit else requested
        if room is None or num_prompt + room > limit:
            virtual = f"Its prefix takes {prefix_length} tokens of the context." if prefix_length else ""
            raise too_many_tokens(
                limit,
                prompt=num_prompt,
                completion=1 if requested is None else requested,
                param=request.prompt.param,
                full_length=None if self._full_length is None else self._full_length - prefix_length,
                why=virtual,
            )
        if request.sampling.min_tokens > room:
            raise InvalidRequest(
                f"'min_tokens' is {request.sampling.min_tokens}, but the answer has at most {room} tokens.",
                param="min_tokens",
            )
        return room
