"""Converts a request's sampling settings to vLLM's SamplingParams for one choice."""

import hashlib
from typing import Any

from cluster.contracts.generation import GenerationRequest
from cluster.serving.text.ending import ending
from cluster.serving.text.prompts import TokenizedPrompt
from cluster.serving.vllm_backend.interface import Vllm


def choice_params(
    vllm: Vllm,
    request: GenerationRequest,
    prompt: TokenizedPrompt,
    index: int,
    *,
    stop_tokens: frozenset[int],
) -> Any:
    """Returns the SamplingParams of one choice. Each choice is a separate request to vLLM, because vLLM
    refuses several greedy choices in one request, and gives choice i of seed s the same output as choice 0 of
    seed s + i.

    Text and stop strings are handled on this side, because only the bytes of tokens can be joined without
    loss."""
    sampling, grammar = request.sampling, prompt.grammar
    ends = ending(sampling, stop_tokens, has_grammar=grammar is not None)
    is_greedy = sampling.temperature == 0 or sampling.top_p == 0
    return vllm.SamplingParams(
        # vLLM generates at least one token, even if only the prompt is scored.
        max_tokens=max(1, prompt.max_tokens),
        temperature=0.0 if is_greedy else sampling.temperature,
        top_p=1.0 if is_greedy else sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        seed=None if sampling.seed is None else choice_seed(sampling.seed, index),
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        structured_outputs=None if grammar is None else vllm.StructuredOutputsParams(grammar=grammar.text),
        logit_bias=sampling.logit_bias or None,
        # At least the token's own log-probability is always requested, because that is the only way to detect
        # numbers that are not finite. See `nonfinite` for why that matters.
        logprobs=sampling.logprobs or 0,
        prompt_logprobs=sampling.logprobs if sampling.echo and index == 0 else None,
        stop_token_ids=sorted(ends.tokens),
        # `stop_tokens` holds all of them: vLLM has no tokenizer here to find others.
        ignore_eos=True,
        # 0 with a grammar, because vLLM might find every token forbidden:
        # https://github.com/vllm-project/vllm/issues/53665.
        min_tokens=ends.min_tokens,
        detokenize=False,
        output_kind=vllm.delta,
    )


def choice_seed(seed: int, index: int) -> int:
    """Returns a 63-bit seed for choice `index` that differs from those of other choices and of neighbouring
    seeds."""
    digest = hashlib.sha256(f"{seed}:{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
