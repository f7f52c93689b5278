"""Log-probabilities of tokens as plain numbers, ready for the wire."""

from typing import NamedTuple

from torch import Tensor


class Scored(NamedTuple):
    """A token with its log-probability, and the k most likely tokens at its position, best first."""

    token: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


def score(logits_NV: Tensor, tokens_N: Tensor, k: int) -> list[Scored]:
    """Returns the log softmax of each row at its token and at the k most likely ones. Logits are float32,
    before temperature and other sampling settings."""
    normalised_NV = logits_NV.log_softmax(-1)
    chosen = normalised_NV.gather(-1, tokens_N.unsqueeze(-1)).squeeze(-1).tolist()
    tokens = tokens_N.tolist()
    if k == 0:
        return [Scored(token, value) for token, value in zip(tokens, chosen, strict=True)]
    values_Nk, places_Nk = normalised_NV.topk(min(k, logits_NV.shape[-1]), -1)
    tops = [
        tuple(zip(places, values, strict=True))
        for places, values in zip(places_Nk.tolist(), values_Nk.tolist(), strict=True)
    ]
    return [Scored(*scored) for scored in zip(tokens, chosen, tops, strict=True)]
