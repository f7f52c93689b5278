"""Log-probabilities in the completions format, which identifies tokens by name."""

import weakref
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.generation import FinishEvent, PromptEvent, TextEvent, TokenLogprob
from cluster.serving.text.logprobs import score
from service.api.inference.answers.completions import CompletionAnswer
from service.api.inference.answers.response_meta import ResponseMeta
from tests.tiny_base import make_tokenizer

HEADING = ResponseMeta("cmpl-1", 0, "m", "fp_1")
TEXT = "北京→ é𝄞"
"""Each of its characters takes several tokens of the tiny tokenizer."""


def _sentencepiece() -> Any:
    """Like Llama 2's: for a byte that is a character, there are two tokens."""
    vocab = {"<s>": 0, "</s>": 1, "▁": 2, "A": 3, "<0x41>": 4, "<0xE4>": 5, "<0xBD>": 6, "b": 7}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def _scored(vocabulary: Vocabulary, tokens: list[int], k: int, *, is_greedy: bool) -> list[TokenLogprob]:
    """Returns tokens as an engine reports them, each the most or the least likely one in its place."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(len(tokens), len(vocabulary), generator=generator)
    logits[range(len(tokens)), tokens] = 9.0 if is_greedy else -9.0
    return [vocabulary.logprob(*scored) for scored in score(logits, torch.tensor(tokens), k)]


def _answer(tokens: list[TokenLogprob], *, text: str = "", prompt: PromptEvent | None = None) -> Any:
    """Returns the log-probabilities of the whole answer, and of all chunks of the streamed one."""
    answer = CompletionAnswer(HEADING, num_prompts=1, n=1, wants_logprobs=True, wants_usage_chunk=False)
    events: list[Any] = [prompt or PromptEvent(prompt_tokens=1)]
    events += [TextEvent(index=0, text=text, completion_tokens=1, tokens=[one]) for one in tokens]
    events += [FinishEvent(index=0, reason="length", completion_tokens=len(tokens))]
    chunks = [chunk for event in events for chunk in answer.add(0, event)]
    parts = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    streamed = {
        field: [value for part in parts for value in getattr(part, field)]
        for field in ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    }
    whole = answer.whole().choices[0].logprobs
    assert whole is not None
    assert whole.model_dump() == streamed
    return whole


def test_the_end_token_has_a_log_probability_and_no_text() -> None:
    end = TokenLogprob(token="<end>", bytes=[], token_id=1, logprob=-0.25, is_text=False)
    answer = CompletionAnswer(HEADING, num_prompts=1, n=1, wants_logprobs=True, wants_usage_chunk=False)
    shown = TokenLogprob(token="yes", bytes=list(b"yes"), token_id=7, logprob=-0.5)
    answer.add(0, TextEvent(index=0, text="yes", completion_tokens=1, tokens=[shown]))
    (last,) = answer.add(0, FinishEvent(index=0, reason="stop", completion_tokens=2, end_token=end))
    assert last.choices[0].logprobs is not None
    assert (last.choices[0].logprobs.tokens, last.choices[0].logprobs.text_offset) == (["<end>"], [3])
    choice = answer.whole().choices[0]
    assert choice.logprobs is not None
    assert (choice.text, choice.logprobs.token_logprobs) == ("yes", [-0.5, -0.25])


def test_a_stream_keeps_no_log_probabilities_that_it_has_sent() -> None:
    answer = CompletionAnswer(
        HEADING, num_prompts=1, n=1, wants_logprobs=True, wants_usage_chunk=False, is_streamed=True
    )
    sent = TokenLogprob(token="yes", bytes=list(b"yes"), token_id=7, logprob=-0.5)
    is_kept = weakref.ref(sent)
    (chunk,) = answer.add(0, TextEvent(index=0, text="yes", completion_tokens=1, tokens=[sent]))
    assert chunk.choices[0].logprobs is not None
    del sent
    assert is_kept() is None


def _is_greedy_by_name(logprobs: Any) -> bool:
    """How lm-evaluation-harness checks answers of OpenAI's completions."""
    return all(
        token == max(top, key=lambda name: top[name])
        for token, top in zip(logprobs.tokens, logprobs.top_logprobs, strict=True)
        if top is not None
    )


def _is_greedy_by_value(logprobs: Any) -> bool:
    """How it checks answers of local servers."""
    return all(
        value == max(top.values())
        for value, top in zip(logprobs.token_logprobs, logprobs.top_logprobs, strict=True)
        if top is not None
    )


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("is_greedy", [True, False])
@pytest.mark.parametrize("kind", ["byte-level", "sentencepiece"])
def test_parts_of_characters_are_told_apart_and_greedy_answers_known(
    kind: str, is_greedy: bool, k: int
) -> None:
    tokenizer: Any = make_tokenizer() if kind == "byte-level" else _sentencepiece()
    vocabulary = Vocabulary(tokenizer)
    tokens = tokenizer.encode(TEXT) if kind == "byte-level" else [5, 6, 4, 3, 7, 5]
    scored = _scored(vocabulary, tokens, k, is_greedy=is_greedy)
    logprobs = _answer(scored)
    for one, name, value, top in zip(
        scored, logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, strict=True
    ):
        assert top[name] == value == one.logprob
        assert len(top) == len({one.token_id, *(other.token_id for other in one.top)})
        assert sorted(top.values()) == sorted(
            {other.token_id: other.logprob for other in (*one.top, one)}.values()
        )
    assert len(set(logprobs.tokens)) == len({bytes(one.bytes) for one in scored})
    assert _is_greedy_by_name(logprobs) == is_greedy
    assert _is_greedy_by_value(logprobs) == is_greedy


def test_parts_of_characters_are_named_as_openai_names_them() -> None:
    vocabulary = Vocabulary(_sentencepiece())
    logprobs = _answer(_scored(vocabulary, [5, 6, 7], 0, is_greedy=True))
    assert logprobs.tokens == [r"bytes:\xe4", r"bytes:\xbd", "b"]


def test_an_echoed_prompt_names_its_tokens_so_too_and_counts_none_that_is_no_text() -> None:
    tokenizer = make_tokenizer()
    vocabulary = Vocabulary(tokenizer)
    tokens = [1, *tokenizer.encode(TEXT)]
    assert tokens[0] in vocabulary.special
    scored = _scored(vocabulary, tokens, 2, is_greedy=True)
    first = scored[0].model_copy(update={"logprob": None, "top": []})
    prompt = PromptEvent(prompt_tokens=len(tokens), text=TEXT, tokens=[first, *scored[1:]])
    logprobs = _answer([], prompt=prompt)
    assert logprobs.top_logprobs[0] is None
    assert _is_greedy_by_name(logprobs)
    for place, offset in enumerate(logprobs.text_offset):
        before = vocabulary.text(tokens[:place])
        assert TEXT[:offset] == before.rstrip("\ufffd")
