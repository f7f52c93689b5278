"""Converts vLLM's outputs to events. Pure."""

import math
from collections.abc import Sequence

from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.errors import CorruptArtefact, Unavailable
from cluster.contracts.generation import GenerationRequest, ModelRef, TokenLogprob
from cluster.serving.text.answer import ChoiceAnswer, Event
from cluster.serving.text.logprobs import Scored
from cluster.serving.vllm_backend.interface import CompletionOutput, Logprobs


class ChoiceReader:
    """Converts the outputs of one sequence, each with any number of tokens."""

    def __init__(self, request: GenerationRequest, answer: ChoiceAnswer) -> None:
        self._model = request.model
        self._num_logprobs = request.sampling.logprobs
        self._answer = answer

    @property
    def is_finished(self) -> bool:
        return self._answer.is_finished

    def read(self, output: CompletionOutput) -> list[Event]:
        """Returns the events of `output`. Must not be called once `is_finished`.

        Raises CorruptArtefact if a log-probability is not finite, InvalidRequest if vLLM cannot continue
        within the grammar, and Unavailable if it aborted the sequence for another reason."""
        events: list[Event] = []
        for place, token in enumerate(output.token_ids):
            scored = None
            if output.logprobs is not None:
                scored = scored_token(self._model, token, output.logprobs[place], self._num_logprobs or 0)
            events += self._answer.accept(token, None if self._num_logprobs is None else scored)
            if self.is_finished:
                return events
        if output.finish_reason is not None:
            if output.finish_reason == "error" and self._answer.guide is not None:
                raise self._answer.guide.failure()
            if output.finish_reason not in {"stop", "length"}:
                raise Unavailable("The engine ended the request; try again.")
            events += self._answer.end("stop" if output.finish_reason == "stop" else "length")
        return events


def scored_prompt(
    request: GenerationRequest,
    token_ids: Sequence[int],
    places: Sequence[Logprobs | None] | None,
    vocabulary: Vocabulary,
) -> list[TokenLogprob]:
    """Returns one item per prompt token; the first has no log-probability. Raises what ChoiceReader.read
    raises."""
    if places is None or len(places) != len(token_ids):
        raise Unavailable("The engine did not score the prompt; try again.")
    k = request.sampling.logprobs or 0
    scored = [Scored(token_ids[0], None)]
    for token, place in zip(token_ids[1:], places[1:], strict=True):
        scored.append(scored_token(request.model, token, place or {}, k))
    return [vocabulary.logprob(*token) for token in scored]


def scored_token(model: ModelRef, token: int, place: Logprobs, k: int) -> Scored:
    """Returns `token` with its log-probability, and the k most likely tokens that may be chosen. Under a
    grammar, vLLM scores the other tokens with minus infinity. vLLM includes the token itself, whatever its
    rank. Raises CorruptArtefact if the token's log-probability is not finite, or another one is NaN or
    infinity."""
    ranked = sorted(place.items(), key=lambda item: item[1].rank or 0)
    top = tuple((other, found.logprob) for other, found in ranked if 1 <= (found.rank or 0) <= k)
    chosen = place.get(token)
    logprob = math.nan if chosen is None else chosen.logprob
    if not math.isfinite(logprob) or any(math.isnan(value) or value == math.inf for _, value in top):
        adapter = model.adapter
        name = f"adapter {adapter.digest}" if adapter else f"base {model.base.alias}"
        raise CorruptArtefact(f"The weights of {name} give numbers that are not finite for this prompt.")
    return Scored(token, logprob, tuple(found for found in top if math.isfinite(found[1])))
