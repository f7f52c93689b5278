"""The trainer's scores of a few rows. Serving must reproduce them before a model is published."""

from typing import Any

import torch

from cluster.contracts.manifest import Probe, ProbeScores
from cluster.training.data.dataset import Dataset

PROBE_ROWS = 4
PROBE_TOKENS = 128


@torch.no_grad()
def score_probe(model: Any, data: Dataset) -> Probe:
    """Scores the first sequences of `data`, cut to PROBE_TOKENS: the log-probabilities of each next token, or
    of an encoder's classes. Uses the model's own forward in evaluation mode, one row at a time, and restores
    the model's mode."""
    rows = [_row(data, index) for index in range(min(PROBE_ROWS, len(data)))]
    inputs = [torch.tensor([row], device=model.device) for row in rows]
    was_training = model.training
    model.eval()
    if data.class_ids is None:
        scores = _token_scores(model, inputs)
    else:
        scores = ProbeScores(logprobs=[_class_logprobs(model, token_ids) for token_ids in inputs])
    model.train(was_training)
    return Probe(token_ids=rows, logprobs=scores.logprobs, top_ids=scores.top_ids)


def with_base(probe: Probe, base: Probe) -> Probe:
    """The probe of a tuned model, with the scores of the model without what was trained."""
    return probe.model_copy(update={"base": ProbeScores(logprobs=base.logprobs, top_ids=base.top_ids)})


def _row(data: Dataset, index: int) -> list[int]:
    start, end = data.offsets[index], data.offsets[index + 1]
    return [int(token) for token in data.token_ids[start : min(end, start + PROBE_TOKENS)]]


def _token_scores(model: Any, inputs: list[torch.Tensor]) -> ProbeScores:
    logprobs, top_ids = [], []
    for token_ids in inputs:
        scores = model(input_ids=token_ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
        logprobs.append(scores.gather(-1, token_ids[0, 1:, None])[:, 0].tolist())
        top_ids.append(scores.argmax(-1).tolist())
    return ProbeScores(logprobs=logprobs, top_ids=top_ids)


def _class_logprobs(model: Any, token_ids: torch.Tensor) -> list[float]:
    logits = model(input_ids=token_ids, attention_mask=torch.ones_like(token_ids)).logits.float()
    return [float(value) for value in logits.log_softmax(-1).flatten().tolist()]
