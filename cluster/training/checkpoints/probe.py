"""The trainer's scores of a few rows. Serving must reproduce them before a model is published."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cluster.contracts.manifest import Probe, ProbeScores
from cluster.training.data.dataset import Dataset
from cluster.training.model.interleaving import Interleaving

PROBE_TOKENS = 128
"""Maximum tokens of a row."""
PROBE_ROWS = 16
"""Maximum number of rows: each costs a forward pass at every checkpoint, and a request when the model is
published."""
_ENOUGH_TOKENS = 512
"""Number of tokens over all rows after which no further row is taken."""


@torch.no_grad()
def score_probe(
    model: Any, data: Dataset, interleaving: Interleaving = Interleaving(), *, most_rows: int = PROBE_ROWS
) -> Probe:
    """Scores the first sequences of `data`, as many as it takes to have some 512 tokens, each cut to
    PROBE_TOKENS. A score is the log-probability of each next token, or of an encoder's classes. Uses the
    model's own forward in evaluation mode, one row for each pass that `interleaving` runs, and restores the
    model's mode."""
    rows = _rows(data, most_rows)
    inputs = [torch.tensor([row], device=model.device) for row in rows]
    was_training = model.training
    model.eval()
    if data.class_ids is None:
        scores = _token_scores(model, inputs, interleaving)
    else:
        scores = ProbeScores(logprobs=[_class_logprobs(model, token_ids) for token_ids in inputs])
    model.train(was_training)
    return Probe(token_ids=rows, logprobs=scores.logprobs, top_ids=scores.top_ids)


def with_base(probe: Probe, base: ProbeScores) -> Probe:
    """Returns the probe of a tuned model with the scores of the untrained model beside it."""
    return probe.model_copy(update={"base": ProbeScores(logprobs=base.logprobs, top_ids=base.top_ids)})


def probe_tensors(scores: ProbeScores) -> dict[str, Tensor]:
    """Packs the scores of a causal model into one-dimensional tensors, end to end."""
    return {
        "lengths": torch.tensor([len(row) for row in scores.logprobs]),
        "logprobs": torch.tensor([value for row in scores.logprobs for value in row], dtype=torch.float64),
        "top_ids": torch.tensor([token for row in scores.top_ids for token in row]),
    }


def probe_scores_of_tensors(tensors: Mapping[str, Tensor]) -> ProbeScores | None:
    """Returns the scores that were given to `probe_tensors`; None if there are none."""
    if not tensors:
        return None
    lengths = tensors["lengths"].tolist()
    logprobs, top_ids = (torch.split(tensors[name], lengths) for name in ("logprobs", "top_ids"))
    return ProbeScores(logprobs=[row.tolist() for row in logprobs], top_ids=[row.tolist() for row in top_ids])


def _rows(data: Dataset, most: int) -> list[list[int]]:
    rows: list[list[int]] = []
    while len(rows) < min(most, len(data)) and sum(map(len, rows)) < _ENOUGH_TOKENS:
        rows.append(_row(data, len(rows)))
    return rows


def _row(data: Dataset, index: int) -> list[int]:
    start, end = data.offsets[index], data.offsets[index + 1]
    return [int(token) for token in data.token_ids[start : min(end, start + PROBE_TOKENS)]]


def _token_scores(model: Any, inputs: list[Tensor], interleaving: Interleaving) -> ProbeScores:
    def score(token_ids: Tensor) -> tuple[list[float], list[int]]:
        logits = model(input_ids=token_ids, use_cache=False).logits[0]
        # Virtual tokens before the row have logits too.
        scores = logits[-token_ids.shape[1] : -1].float().log_softmax(-1)
        return scores.gather(-1, token_ids[0, 1:, None])[:, 0].tolist(), scores.argmax(-1).tolist()

    rows = list(interleaving.run(partial(score, token_ids) for token_ids in inputs))
    return ProbeScores(logprobs=[logprobs for logprobs, _ in rows], top_ids=[ids for _, ids in rows])


def _class_logprobs(model: Any, token_ids: Tensor) -> list[float]:
    logits = model(input_ids=token_ids, attention_mask=torch.ones_like(token_ids)).logits.float()
    return [float(value) for value in logits.log_softmax(-1).flatten().tolist()]
