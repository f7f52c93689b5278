"""Finds the tokens that keep each choice of a batch within its grammar.

llguidance follows a grammar byte by byte and knows the bytes of all tokens, so one token may span several
parts of the text. It works for every tokenizer that Vocabulary supports."""

import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from llguidance import LLExecutor, LLMatcher, LLParserLimits, LLTokenizer
from torch import Tensor

from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.errors import InvalidRequest
from cluster.serving.text.grammar import GRAMMAR_CHARACTERS, Grammar

if TYPE_CHECKING:
    from llguidance._tokenizer import TokenizerWrapper

_LIMITS = LLParserLimits(
    initial_lexer_fuel=200_000,
    step_lexer_fuel=50_000,
    step_max_items=20_000,
    max_lexer_states=50_000,
    max_grammar_size=100_000,
    verbose_errors=False,
)
"""At most a fifth of llguidance's defaults. The most expensive schemas within these limits take 0.6 s to
compile, 5 ms per token and 20 MB; common ones take 1 ms, 10 us and negligible memory."""

_QUICK_LIMITS = LLParserLimits(
    initial_lexer_fuel=20_000,
    step_lexer_fuel=50_000,
    step_max_items=20_000,
    max_lexer_states=50_000,
    max_grammar_size=4_000,
    verbose_errors=False,
)
"""Common schemas stay far below these limits; others exceed them in some 30 ms."""

_MESSAGE_CHARACTERS = 300
"""Maximum length of llguidance's messages, which may repeat the grammar."""

_PLACE = re.compile(r"^at \d+\(\d+\): (failed to compile JSON schema: )?|\n +\d+ \|.*", re.DOTALL)


class Guide:
    """The position of one choice in its grammar."""

    def __init__(self, matcher: LLMatcher, param: str, family: "_Family | None" = None) -> None:
        self.matcher = matcher
        self._param = param
        self._family = family or _Family()

    def fork(self) -> "Guide":
        """Returns a guide for another choice from the same position."""
        return Guide(self.matcher.deep_copy(), self._param, self._family)

    @property
    def num_tokens_of_all(self) -> int:
        """Tokens accepted by this guide and its forks, which share lexer states and the limit on them."""
        return self._family.num_tokens

    def accept(self, token: int) -> None:
        """Advances by an allowed token."""
        self._family.num_tokens += 1
        self.matcher.consume_token(token)

    @property
    def must_end(self) -> bool:
        """Whether only the end of the text may follow."""
        return self.matcher.is_stopped() and not self.matcher.is_error()

    @property
    def may_end(self) -> bool:
        return self.matcher.is_accepting()

    def failure(self) -> InvalidRequest:
        """Returns the error for a text that can neither continue nor end."""
        reason = self.matcher.get_error()
        if not reason or reason.startswith("NoExtension"):
            reason = "the model has no token to continue with"
        return InvalidRequest(
            f"The answer cannot continue within '{self._param}': {_short(reason)}",
            code="grammar_failed",
            param=self._param,
        )


@dataclass
class _Family:
    num_tokens: int = 0


class Guidance:
    """Creates guides for one vocabulary. Builds the token trie with the first one."""

    def __init__(self, vocabulary: Vocabulary, *, num_tokens: int, stop_tokens: frozenset[int]) -> None:
        """`num_tokens` is the width of the model's logits. `stop_tokens` end a text where its grammar may
        end. Other special tokens are allowed only if the grammar names them."""
        self._vocabulary = vocabulary
        self._num_tokens = num_tokens
        self._stop_tokens = stop_tokens
        self._lock = threading.Lock()
        self._made: LLTokenizer | None = None

    def start_quickly(self, grammar: Grammar) -> Guide | None:
        """Like `start`, but returns None if the grammar is invalid or takes longer."""
        probe = LLMatcher(self._tokenizer, grammar.text, log_level=0, limits=_QUICK_LIMITS)
        # The probe itself cannot be used as the guide, because its limits would apply to the text too.
        return None if probe.is_error() else self._started(grammar)

    def start(self, grammar: Grammar) -> Guide:
        """Compiles the grammar without holding the GIL.

        Raises InvalidRequest if it is invalid or too expensive."""
        return self._started(grammar)

    def _started(self, grammar: Grammar) -> Guide:
        if len(grammar.text) > GRAMMAR_CHARACTERS:
            raise InvalidRequest(
                f"The schemas of '{grammar.param}' are {len(grammar.text)} characters together; "
                f"{GRAMMAR_CHARACTERS} are allowed.",
                param=grammar.param,
            )
        matcher = LLMatcher(self._tokenizer, grammar.text, log_level=0, limits=_LIMITS)
        if matcher.is_error():
            raise InvalidRequest(
                f"'{grammar.param}' cannot be followed: {_short(matcher.get_error())}",
                code="unsupported_schema",
                param=grammar.param,
            )
        return Guide(matcher, grammar.param)

    @property
    def _tokenizer(self) -> LLTokenizer:
        with self._lock:
            if self._made is None:
                tokens = _Tokens(self._vocabulary, self._num_tokens, self._stop_tokens)
                self._made = LLTokenizer(
                    cast("TokenizerWrapper", tokens), eos_token=sorted(self._stop_tokens)
                )
            return self._made


class Masks:
    """Computes the masks of many guides together, on all cores but one. Used from one thread."""

    def __init__(self, num_tokens: int) -> None:
        self._num_tokens = num_tokens

    def allowed(self, guides: Sequence[Guide]) -> Tensor:
        """Returns bool [G, V]: the tokens that each guide allows. A row without any allowed token means that
        the guide failed."""
        # int32 words with one bit per token.
        packed_GW = np.zeros((len(guides), -(-self._num_tokens // 32)), dtype=np.int32)
        self._executor.unsafe_compute_mask_ptr(
            [(guide.matcher, row) for row, guide in enumerate(guides)],
            packed_GW.ctypes.data,
            packed_GW.shape[1] * packed_GW.itemsize,
            len(guides),
        )
        for row, guide in enumerate(guides):
            if guide.matcher.is_error():
                packed_GW[row] = 0
        bits_GV = np.unpackbits(packed_GW.view(np.uint8), axis=1, bitorder="little", count=self._num_tokens)
        return torch.from_numpy(bits_GV).view(torch.bool)

    @cached_property
    def _executor(self) -> LLExecutor:
        # Created with the first guide, because many engines never have one.
        return LLExecutor(max(1, len(os.sched_getaffinity(0)) - 1))


class _Tokens:
    """A tokenizer with the attributes that llguidance reads."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary, num_tokens: int, stop_tokens: frozenset[int]) -> None:
        self.tokens = [vocabulary.token_bytes(token) for token in range(num_tokens)]
        self.special_token_ids = sorted(vocabulary.special | stop_tokens)
        self.eos_token_id = min(stop_tokens, default=None)

    def __call__(self, text: Any) -> list[int]:
        raise AssertionError("only grammars with forcing tokenize text")


def _short(message: str) -> str:
    """Returns llguidance's message without the position in the grammar, which the caller never sees."""
    said = _PLACE.sub("", message.split("<non-verbose/>")[0])
    return " ".join(said.split())[:_MESSAGE_CHARACTERS].rstrip(".") + "."
