"""From a request's sampling to vLLM's SamplingParams for one of its choices."""

import hashlib
from typing import Any

from cluster.contracts.generation import GenerationRequest
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
    """Each choice is a request of its own to vLLM, which refuses several greedy ones together and gives
    choice i of seed s what it gives choice 0 of seed s + i.

    Text and stop strings stay on this side, because only bytes of tokens can be put together without loss.
    """
    sampling, grammar = request.sampling, prompt.grammar
    is_greedy = sampling.temperature == 0 or sampling.top_p == 0
    return vllm.SamplingParams(
        # vLLM generates at least one token, also where only the prompt is to be scored.
        max_tokens=max(1, prompt.max_tokens),
        temperature=0.0 if is_greedy else sampling.temperature,
        top_p=1.0 if is_greedy else sampling.top_p,
        seed=None if sampling.seed is None else choice_seed(sampling.seed, index),
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        structured_outputs=None if grammar is None else vllm.StructuredOutputsParams(grammar=grammar.text),
        logit_bias=sampling.logit_bias or None,
        # Always at least the token's own: there is no other way to see numbers that are not finite, and vLLM
        # does not clear its memory, so that one adapter's can come up in another request's.
        logprobs=sampling.logprobs or 0,
        prompt_logprobs=sampling.logprobs if sampling.echo and index == 0 else None,
        stop_token_ids=sorted(stop_tokens),
        # `stop_tokens` are all of them: vLLM has no tokenizer here to know others from.
        ignore_eos=True,
        detokenize=False,
        output_kind=vllm.delta,
    )


def choice_seed(seed: int, index: int) -> int:
    """A seed of 63 bits for choice `index`, unlike those of other choices and of neighbouring seeds."""
    digest = hashlib.sha256(f"{seed}:{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
