"""vLLM's interface, as `cluster.serving.vllm_backend.interface` names it, over plain forwards of transformers
and PEFT: slow, deterministic, and as strict as vLLM 0.29 where a wrong call would be refused."""

import asyncio
import itertools
import math
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, grammar_from
from llguidance.hf import from_tokenizer
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
)

from cluster.bases.pretrained import LOADING
from cluster.serving.vllm_backend.interface import Vllm

DELTA = "DELTA"


class ClientError(Exception):
    """Stands for VLLMClientError."""


@dataclass(frozen=True)
class StructuredOutputsParams:
    """The kind of constraint that is used."""

    grammar: str


@dataclass(frozen=True)
class SamplingParams:
    """The fields that are used, and vLLM's checks of them."""

    output_kind: str
    n: int = 1
    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    min_tokens: int = 0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] | None = None
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    stop_token_ids: list[int] = field(default_factory=list)
    ignore_eos: bool = False
    detokenize: bool = True
    structured_outputs: StructuredOutputsParams | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ClientError("max_tokens must be at least 1")
        if not 0 < self.top_p <= 1:
            raise ClientError("top_p must be in (0, 1]")
        if self.top_k < -1:
            raise ClientError("top_k must be 0 (disable), or at least 1")
        if not 0 <= self.min_p <= 1:
            raise ClientError("min_p must be in [0, 1]")
        if self.repetition_penalty <= 0:
            raise ClientError("repetition_penalty must be greater than zero")
        if self.min_tokens > self.max_tokens:
            raise ClientError("min_tokens must be less than or equal to max_tokens")
        if self.temperature == 0 and self.n > 1:
            raise ClientError("n must be 1 when using greedy sampling")


@dataclass(frozen=True)
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclass(frozen=True)
class Logprob:
    logprob: float
    rank: int


@dataclass(frozen=True)
class CompletionOutput:
    index: int
    token_ids: list[int]
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None


@dataclass(frozen=True)
class RequestOutput:
    request_id: str
    prompt_logprobs: list[dict[int, Logprob] | None] | None
    outputs: list[CompletionOutput]
    finished: bool


@dataclass(frozen=True)
class Seen:
    """The arguments of one call of generate."""

    prompt: dict[str, Any]
    params: SamplingParams
    request_id: str
    lora: LoRARequest | None


class AsyncLLM:
    """`tokens_per_output`: tokens per delta, as with a slow reader."""

    def __init__(self, *, tokens_per_output: int = 1, **arguments: Any) -> None:
        self.arguments = arguments
        self.tokens_per_output = tokens_per_output
        self.errored = False
        self.is_shut_down = False
        self.fails_with: Exception | None = None
        """Raised by the next step of any request."""
        self.is_spoiled = False
        """Whether everything it computes is non-finite, as after a request that left such numbers behind."""
        self.stalled: set[str] = set()
        """Ids of requests that get no output."""
        self.refuses_loras = ""
        """Why, in the words of its process."""
        self.seen: list[Seen] = []
        self.aborted: list[str] = []
        self.running: list[str] = []
        self.loras: dict[int, Any] = {}
        self.lora_paths: list[str] = []
        """Paths of all adapters that were ever added."""
        dtype = getattr(torch, arguments["dtype"])

        def load() -> Any:
            with LOADING:  # vLLM itself does it in a process of its own.
                return AutoModelForCausalLM.from_pretrained(arguments["model"], dtype=dtype)

        self._load: Callable[[], Any] = load
        self._model = self._load().eval()
        hf = AutoTokenizer.from_pretrained(arguments["tokenizer"])
        # Like vLLM's guidance backend, with the model's number of tokens and one end-of-text token.
        self.llguidance = from_tokenizer(hf, n_vocab=self._model.config.get_text_config().vocab_size)

    async def add_lora(self, lora_request: LoRARequest) -> bool:
        if self.refuses_loras:
            raise Exception(f"Call to add_lora method failed: {self.refuses_loras}")
        assert lora_request.lora_int_id not in self.loras
        assert len(self.loras) < self.arguments["max_cpu_loras"], "vLLM would drop one of its own choice"
        model = PeftModel.from_pretrained(self._load(), lora_request.lora_path)
        self.loras[lora_request.lora_int_id] = model.eval()
        self.lora_paths.append(lora_request.lora_path)
        return True

    async def remove_lora(self, lora_id: int) -> bool:
        assert lora_id not in {lora.lora_int_id for lora in self._used_loras()}, "removed while in use"
        return self.loras.pop(lora_id, None) is not None

    async def generate(
        self, prompt: dict[str, Any], sampling_params: SamplingParams, request_id: str, *, lora_request: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        self.seen.append(Seen(prompt, sampling_params, request_id, lora_request))
        token_ids = prompt["prompt_token_ids"]
        if len(token_ids) >= self.arguments["max_model_len"]:
            raise ClientError("the prompt leaves no room for a token")
        assert request_id not in self.running
        assert len(self.running) < self.arguments["max_num_seqs"]
        if lora_request is not None:
            # vLLM may read the files again at any time.
            assert (Path(lora_request.lora_path) / "adapter_config.json").is_file()
            others = {lora.lora_int_id for lora in self._used_loras()} - {lora_request.lora_int_id}
            assert len(others) < self.arguments["max_loras"], "vLLM would leave the request waiting"
        self.running.append(request_id)
        is_finished = False
        try:
            for output in _outputs(self, token_ids, sampling_params, request_id, lora_request):
                # Asynchronous, as if from another process.
                await asyncio.sleep(0)
                while request_id in self.stalled:
                    await asyncio.sleep(0.001)
                if self.fails_with is not None:
                    raise self.fails_with
                is_finished = output.finished
                yield output
        finally:
            self.running.remove(request_id)
            if not is_finished:
                self.aborted.append(request_id)

    def shutdown(self) -> None:
        self.is_shut_down = True

    def _used_loras(self) -> list[LoRARequest]:
        running = (seen for seen in self.seen if seen.request_id in self.running)
        return [seen.lora for seen in running if seen.lora is not None]

    def logits(self, token_ids: list[int], lora: LoRARequest | None) -> torch.Tensor:
        """[T, V]"""
        model = self._model if lora is None else self.loras[lora.lora_int_id]
        if self.is_spoiled:
            return torch.full((len(token_ids), model.config.vocab_size), math.nan)
        with torch.inference_mode():
            logits: torch.Tensor = model(input_ids=torch.tensor([token_ids])).logits[0].float()
        return logits


class FakeVllm:
    """Creates AsyncLLMs and keeps them for the test."""

    def __init__(
        self, *, tokens_per_output: int = 1, refuses_to_start: str = "", longest_context: int | None = None
    ) -> None:
        """`refuses_to_start` is what its process prints before it ends. It has memory for `longest_context`
        tokens."""
        self.engines: list[AsyncLLM] = []
        self.contexts: list[int] = []
        """Of all attempts to start."""
        self._tokens_per_output = tokens_per_output
        self._refuses_to_start = refuses_to_start
        self._longest_context = longest_context

    def __call__(self) -> Vllm:
        return Vllm(
            start=self._start,
            SamplingParams=SamplingParams,
            StructuredOutputsParams=StructuredOutputsParams,
            LoRARequest=LoRARequest,
            tokens_input=_tokens_input,
            delta=DELTA,
            VLLMClientError=ClientError,
        )

    def _start(self, **arguments: Any) -> Any:
        context = arguments["max_model_len"]
        self.contexts.append(context)
        refusal = self._refuses_to_start
        if self._longest_context is not None and context > self._longest_context:
            refusal = (
                f"To serve at least one request with the model's max seq len ({context}), (2.28 GiB KV "
                "cache is needed, which is larger than the available KV cache memory (2.10 GiB). Based on "
                f"the available memory, the estimated maximum model length is {self._longest_context}. Try"
            )
        if refusal:
            os.write(1, f"ValueError: {refusal}\n".encode())
            raise RuntimeError("Engine core initialization failed. See root cause above.")
        self.engines.append(AsyncLLM(tokens_per_output=self._tokens_per_output, **arguments))
        return self.engines[-1]


def _tokens_input(prompt_token_ids: list[int], *, cache_salt: str | None = None) -> dict[str, Any]:
    assert cache_salt != "", "vLLM takes an empty salt for none"
    return {"type": "token", "prompt_token_ids": prompt_token_ids, "cache_salt": cache_salt}


def _outputs(llm: AsyncLLM, prompt: list[int], params: SamplingParams, request_id: str, lora: Any) -> Any:
    assert params.output_kind == DELTA
    assert not params.detokenize
    generator = torch.Generator()
    if params.seed is None:
        generator.seed()
    else:
        generator.manual_seed(params.seed)
    prompt_logprobs = None
    if params.prompt_logprobs is not None:
        rows = llm.logits(prompt, lora)[:-1].log_softmax(-1)
        places = [_place(row, token, params.prompt_logprobs) for row, token in zip(rows, prompt[1:])]  # noqa: B905
        prompt_logprobs = [None, *places]
    matcher = None
    if params.structured_outputs is not None:
        matcher = LLMatcher(llm.llguidance, grammar_from("grammar", params.structured_outputs.grammar))
        if matcher.is_error():
            raise ClientError(matcher.get_error())
    made: list[int] = []
    sent = 0
    logprobs: list[dict[int, Logprob]] = []
    for step in itertools.count(1):
        logits = llm.logits(prompt + made, lora)[-1]
        if matcher is not None:
            # Before scoring, so that disallowed tokens have no probability.
            logits = _masked(logits, matcher)
        made.append(_draw(logits, params, prompt, made, generator))
        logprobs.append(_place(logits.log_softmax(-1), made[-1], params.logprobs or 0))
        reason = None
        if matcher is not None and not matcher.consume_token(made[-1]):
            reason = "error"
        elif made[-1] in params.stop_token_ids:
            reason = "stop"
        elif step == params.max_tokens or len(prompt) + step >= llm.arguments["max_model_len"]:
            reason = "length"
        if reason or step - sent == llm.tokens_per_output:
            new = CompletionOutput(
                0, made[sent:], None if params.logprobs is None else logprobs[sent:], reason
            )
            yield RequestOutput(request_id, prompt_logprobs, [new], reason is not None)
            prompt_logprobs, sent = None, step
        if reason:
            return


def _place(logprobs: torch.Tensor, token: int, k: int) -> dict[int, Logprob]:
    """The token, then the k most likely ones, which may include it: vLLM's order."""
    rank = int((logprobs > logprobs[token]).sum()) + 1
    place = {token: Logprob(float(logprobs[token]), rank)}
    for rank, other in enumerate(logprobs.topk(k).indices.tolist(), 1):
        place[other] = Logprob(float(logprobs[other]), rank)
    return place


def _masked(logits: torch.Tensor, matcher: LLMatcher) -> torch.Tensor:
    allowed = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
    return logits.masked_fill(torch.from_numpy(allowed[: len(logits)]) == 0, -torch.inf)


def _draw(
    given: torch.Tensor,
    params: SamplingParams,
    prompt: list[int],
    made: list[int],
    generator: torch.Generator,
) -> int:
    """In vLLM's order, with transformers' processors where it has them."""
    logits = given.clone()
    if len(made) < params.min_tokens:
        logits[params.stop_token_ids] = -torch.inf
    for token, bias in (params.logit_bias or {}).items():
        logits[token] += bias
    repeated = RepetitionPenaltyLogitsProcessor(params.repetition_penalty)
    logits = repeated(torch.tensor([prompt + made]), logits[None])[0]
    for token in set(made):
        logits[token] -= params.presence_penalty + params.frequency_penalty * made.count(token)
    if params.temperature == 0 or math.isnan(float(logits.sum())):
        return int(logits.argmax())
    scores = (logits / params.temperature)[None]
    if params.min_p:
        scores = MinPLogitsWarper(params.min_p)(torch.tensor([made]), scores)
    if params.top_k > 0:
        scores = TopKLogitsWarper(params.top_k)(torch.tensor([made]), scores)
    probabilities, order = scores[0].softmax(-1).sort(descending=True)
    probabilities[probabilities.cumsum(-1) - probabilities >= params.top_p] = 0
    return int(order[torch.multinomial(probabilities, 1, generator=generator)])
