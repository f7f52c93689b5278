"""The scheduler's client of the Serve applications, over HTTP."""

import secrets
from collections.abc import Mapping, Sequence
from itertools import chain

import httpx2
from pydantic import BaseModel

from cluster.contracts import errors
from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest, TokensInput
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.devices import ClaimAnswer, TrainingClaim
from cluster.contracts.exports import ExportAnswer, ExportRequest
from cluster.contracts.generation import (
    LOAD_TIMEOUT_HEADER,
    MODEL_HEADER,
    PROJECT_HEADER,
    FinishEvent,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    Sampling,
    TokenLogprob,
    TokenPrompt,
)
from cluster.contracts.imports import ImportedAdapter, ImportRequest
from cluster.contracts.manifest import ProbeScores
from cluster.wire.codec import decode_answer, decode_events, decode_refusal

_SCORE = Sampling(max_tokens=0, temperature=0, echo=True, logprobs=1)
"""Generates nothing; returns the prompt with the log-probability of each token and of the most likely one."""

_CHECK_SECONDS = 15.0
"""How long one request waits for the check of a file once it runs. The check continues after that."""

_CLAIM_SECONDS = 5.0
"""How long a claim of devices waits: it is made between two rounds of the scheduler."""

_LOOK_SECONDS = 0.2
"""How long one request waits for the end of an export, before it is answered with the progress."""


class HttpServingClient:
    """Thread-safe. Close it after use."""

    def __init__(self, url: str, token: str, *, timeout_seconds: float = 120.0) -> None:
        """`timeout_seconds` is for one response, including the time to load a base model or an adapter."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Leaves time for serving to respond that the model is not ready.
        headers[LOAD_TIMEOUT_HEADER] = str(timeout_seconds * 0.9)
        timeout = httpx2.Timeout(timeout_seconds, connect=5.0)
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def check_dataset(self, request: DatasetCheckRequest, *, project_id: str) -> DatasetCheck:
        # The check continues without this request, which returns early to report what the check is waiting
        # for.
        headers = {LOAD_TIMEOUT_HEADER: str(_CHECK_SECONDS), PROJECT_HEADER: project_id}
        answer = self._post("/datasets/check", request, headers)
        return decode_answer(DatasetCheck, answer)

    def import_adapter(self, request: ImportRequest) -> ImportedAdapter:
        answer = self._post("/datasets/import", request, {LOAD_TIMEOUT_HEADER: str(_CHECK_SECONDS)})
        return decode_answer(ImportedAdapter, answer)

    def export_weights(self, request: ExportRequest) -> ExportAnswer:
        answer = self._post("/datasets/export", request, {LOAD_TIMEOUT_HEADER: str(_LOOK_SECONDS)})
        return decode_answer(ExportAnswer, answer)

    def score(self, model: ModelRef, rows: Sequence[Sequence[int]]) -> ProbeScores:
        scored = [self._score(model, row) for row in rows]
        return ProbeScores(
            logprobs=[[token.logprob for token in row if token.logprob is not None] for row in scored],
            top_ids=[[token.top[0].token_id for token in row if token.top] for row in scored],
        )

    def finish_reason(self, model: ModelRef, prompt: Sequence[int], max_tokens: int) -> FinishReason:
        events = self._generate(model, prompt, Sampling(max_tokens=max_tokens, temperature=0))
        reasons = [event.reason for event in events if isinstance(event, FinishEvent)]
        if not reasons:
            raise _unavailable("The engine's answer was cut off.")
        return reasons[0]

    def claim_devices(self, claim: TrainingClaim) -> ClaimAnswer:
        answer = self._post("/engine/devices", claim, {}, timeout_seconds=_CLAIM_SECONDS)
        return decode_answer(ClaimAnswer, answer)

    def classify_scores(self, model: ModelRef, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        request = ClassificationRequest(
            id=_new_id(), model=model, inputs=[TokensInput(token_ids=list(row)) for row in rows]
        )
        answer = self._post("/engine/classify", request, {MODEL_HEADER: model.name})
        results = decode_answer(ClassificationAnswer, answer).results
        return [list(chain.from_iterable(result.logprobs)) for result in results]

    def close(self) -> None:
        self._http.close()

    def _score(self, model: ModelRef, row: Sequence[int]) -> list[TokenLogprob]:
        for event in self._generate(model, row, _SCORE):
            if isinstance(event, PromptEvent):
                return event.tokens[1:]
        raise _unavailable("The engine's answer was cut off.")

    def _generate(self, model: ModelRef, prompt: Sequence[int], sampling: Sampling) -> list[GenerationEvent]:
        request = GenerationRequest(
            id=_new_id(), model=model, prompt=TokenPrompt(token_ids=list(prompt)), sampling=sampling
        )
        return decode_events(self._post("/engine/generate", request, {MODEL_HEADER: model.name}))

    def _post(
        self,
        path: str,
        request: BaseModel,
        headers: Mapping[str, str],
        *,
        timeout_seconds: float | None = None,
    ) -> bytes:
        headers = {"Content-Type": "application/json", **headers}
        timeout = self._http.timeout if timeout_seconds is None else timeout_seconds
        try:
            response = self._http.post(
                path, content=request.model_dump_json(), headers=headers, timeout=timeout
            )
        except httpx2.TransportError as error:
            raise _unavailable(f"The model server does not answer: {error!r}.") from error
        if response.is_success:
            return response.content
        raise decode_refusal(response.status_code, response.headers.get("retry-after"), response.content)


def _new_id() -> str:
    return f"score-{secrets.token_hex(8)}"


def _unavailable(message: str) -> errors.Unavailable:
    return errors.Unavailable(message, code="serving_unavailable")
