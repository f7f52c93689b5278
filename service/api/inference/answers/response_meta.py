"""The parts that chat and text completions have in common."""

import codecs
import hashlib
import time
from dataclasses import dataclass

from cluster.contracts.generation import ModelRef, TokenLogprob
from service.api.schemas.sampling import CompletionTokensDetails, PromptTokensDetails, Usage


@dataclass(frozen=True)
class ResponseMeta:
    """The fields that every chunk of an answer repeats."""

    id: str
    created: int
    model: str
    system_fingerprint: str

    @staticmethod
    def make(prefix: str, request_id: str, name: str, model: ModelRef) -> "ResponseMeta":
        """The fingerprint changes whenever different weights answer under the same name."""
        weights = f"{model.base.alias} {model.base.source!r} {model.adapter and model.adapter.digest}"
        fingerprint = "fp_" + hashlib.sha256(weights.encode()).hexdigest()[:10]
        return ResponseMeta(f"{prefix}-{request_id}", int(time.time()), name, fingerprint)


# Every field is set explicitly, because streams leave out unset fields.
_NO_PROMPT_DETAILS = PromptTokensDetails(cached_tokens=0, audio_tokens=0)
_NO_COMPLETION_DETAILS = CompletionTokensDetails(
    reasoning_tokens=0, audio_tokens=0, accepted_prediction_tokens=0, rejected_prediction_tokens=0
)


@dataclass
class Tally:
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def usage(self) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens,
            prompt_tokens_details=_NO_PROMPT_DETAILS,
            completion_tokens=self.completion_tokens,
            completion_tokens_details=_NO_COMPLETION_DETAILS,
            total_tokens=self.prompt_tokens + self.completion_tokens,
        )


class TextOffsets:
    """Computes where each token begins in its choice's text, in characters."""

    # If a token ends in the middle of a character, the next token begins where that character does.

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0

    def place(self, token: TokenLogprob) -> int:
        here = self._offset
        if token.is_text:
            self._offset += len(self._decoder.decode(bytes(token.bytes)))
        return here
