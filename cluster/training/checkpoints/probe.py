"""The trainer's scores of a few rows. Serving must reproduce them before a model is published."""

from typing import Any

import torch

from cluster.contracts.manifest import Probe
from cluster.training.data.dataset import Dataset

PROBE_ROWS = 4
PROBE_TOKENS = 128


@torch.no_grad()
def score_probe(model: Any, data: Dataset) -> Probe:
    """Scores the first sequences of `data`, cut to PROBE_TOKENS: the log-probabilities of each next token, or
    of an encoder's classes. Uses the model's own forward in evaluation mode, one row at a time, and restores
    the model's mode."""
    rows = [_row(data, index) for index in range(min(PROBE_ROWS, len(data)))]
    score = _token_logprobs if data.class_ids is None else _class_logprobs
    was_training = model.training
    model.eval()
    logprobs = [score(model, torch.tensor([row], device=model.device)) for row in rows]
    model.train(was_training)
    return Probe(token_ids=rows, logprobs=logprobs)


def _row(data: Dataset, index: int) -> list[int]:
    start, end = data.offsets[index], data.offsets[index + 1]
    return [int(token) for token in data.token_ids[start : min(end, start + PROBE_TOKENS)]]


def _token_logprobs(model: Any, token_ids: torch.Tensor) -> list[float]:
    logits = model(input_ids=token_ids, use_cache=False).logits[0, :-1].float()
    chosen = logits.log_softmax(-1).gather(-1, token_ids[0, 1:, None])
    return [float(value) for value in chosen[:, 0].tolist()]


def _class_logprobs(model: Any, token_ids: torch.Tensor) -> list[float]:
    logits = model(input_ids=token_ids, attention_mask=torch.ones_like(token_ids)).logits.float()
    return [float(value) for value in logits.log_softmax(-1).flatten().tolist()]
