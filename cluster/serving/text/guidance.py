"""Which tokens keep each choice of a batch within its grammar.

llguidance follows a grammar byte by byte and knows all tokens as bytes, so that one token may end several
parts of the text and begin others. It works for every tokenizer that Vocabulary knows.
"""

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

from cluster.contracts.errors import InvalidRequest
from cluster.serving.text.grammar import Grammar
from cluster.serving.text.vocabulary import Vocabulary

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
"""A fifth of llguidance's own or less. The costliest schemas that pass take 0.6 s to compile, 5 ms a token
and 20 MB; common ones 1 ms, 10 us and nothing to speak of."""

_QUICK_LIMITS = LLParserLimits(
    initial_lexer_fuel=20_000,
    step_lexer_fuel=50_000,
    step_max_items=20_000,
    max_lexer_states=50_000,
    max_grammar_size=4_000,
    verbose_errors=False,
)
"""That common schemas stay within by far, and others exceed in some 30 ms."""

_GRAMMAR_CHARACTERS = 128 * 1024
"""With the schemas of all tools."""

_MESSAGE_CHARACTERS = 300
"""Of what llguidance says, which may repeat the grammar."""

_PLACE = re.compile(r"^at \d+\(\d+\): (failed to compile JSON schema: )?|\n +\d+ \|.*", re.DOTALL)


class Guide:
    """Where one choice is in its grammar."""

    def __init__(self, matcher: LLMatcher, param: str, family: "_Family | None" = None) -> None:
        self.matcher = matcher
        self._param = param
        self._family = family or _Family()

    def fork(self) -> "Guide":
        """Another choice's, from the same place."""
        return Guide(self.matcher.deep_copy(), self._param, self._family)

    @property
    def num_tokens_of_all(self) -> int:
        """That it and its forks have accepted: these share the states that their lexer has come to, and
        their limit."""
        return self._family.num_tokens

    def accept(self, token: int) -> None:
        """Goes on by a token that was allowed."""
        self._family.num_tokens += 1
        self.matcher.consume_token(token)

    @property
    def must_end(self) -> bool:
        """Nothing but the end of text may follow."""
        return self.matcher.is_stopped() and not self.matcher.is_error()

    @property
    def may_end(self) -> bool:
        return self.matcher.is_accepting()

    def failure(self) -> InvalidRequest:
        """Why the text neither goes on nor ends."""
        reason = self.matcher.get_error()
        if not reason or reason.startswith("NoExtension"):
            reason = "the model has no token to go on with"
        return InvalidRequest(
            f"The answer cannot go on as '{self._param}' demands: {_short(reason)}",
            code="grammar_failed",
            param=self._param,
        )


@dataclass
class _Family:
    num_tokens: int = 0


class Guidance:
    """Starts guides for one vocabulary, whose tokens are spread out in memory when the first one starts."""

    def __init__(self, vocabulary: Vocabulary, *, num_tokens: int, stop_tokens: frozenset[int]) -> None:
        """`num_tokens` is how wide the model's logits are. `stop_tokens` end a text, where its grammar may
        end; no other special token is allowed unless the grammar names it."""
        self._vocabulary = vocabulary
        self._num_tokens = num_tokens
        self._stop_tokens = stop_tokens
        self._lock = threading.Lock()
        self._made: LLTokenizer | None = None

    def start_quickly(self, grammar: Grammar) -> Guide | None:
        """As `start`; None if the grammar is wrong or takes longer."""
        probe = LLMatcher(self._tokenizer, grammar.text, log_level=0, limits=_QUICK_LIMITS)
        # These limits would be a text's too.
        return None if probe.is_error() else self._started(grammar)

    def start(self, grammar: Grammar) -> Guide:
        """Compiles the grammar, without the interpreter's lock.

        Raises InvalidRequest if it is wrong, or more than this server compiles."""
        return self._started(grammar)

    def _started(self, grammar: Grammar) -> Guide:
        if len(grammar.text) > _GRAMMAR_CHARACTERS:
            raise InvalidRequest(
                f"The schemas of '{grammar.param}' are {len(grammar.text)} characters together; "
                f"{_GRAMMAR_CHARACTERS} are allowed.",
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
    """Computes the masks of many guides together, on all threads but one. For one thread to call."""

    def __init__(self, num_tokens: int) -> None:
        self._num_tokens = num_tokens

    def allowed(self, guides: Sequence[Guide]) -> Tensor:
        """bool [G, V]: the tokens that each may go on with. A row without any stands for a guide that
        failed."""
        # int32 words with a bit a token.
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
        # With the first guide, because many engines never have one.
        return LLExecutor(max(1, len(os.sched_getaffinity(0)) - 1))


class _Tokens:
    """The attributes that llguidance reads of a tokenizer."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary, num_tokens: int, stop_tokens: frozenset[int]) -> None:
        self.tokens = [vocabulary.token_bytes(token) for token in range(num_tokens)]
        self.special_token_ids = sorted(vocabulary.special | stop_tokens)
        self.eos_token_id = min(stop_tokens, default=None)

    def __call__(self, text: Any) -> list[int]:
        raise AssertionError("only grammars with forcing ask for tokens of a text")


def _short(message: str) -> str:
    """What llguidance says, without the place in the grammar's text, which the caller never sees."""
    said = _PLACE.sub("", message.split("<non-verbose/>")[0])
    return " ".join(said.split())[:_MESSAGE_CHARACTERS].rstrip(".") + "."
