"""Adjusts logits in the ways that do not depend on the temperature: biases, penalties and forbidden
tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cluster.serving.embedded.draw import Draw


def adjusted(logits_BV: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Returns the logits after, in vLLM's order: logit biases, repetition penalties (over the tokens of
    prompt and answer; Keskar et al., 2019, arXiv:1909.05858), frequency and presence penalties (over the
    answer's tokens), and minus infinity for forbidden tokens. Does not modify its argument, and returns it if
    nothing changes."""
    before, after = _Additions(), _Additions()
    repeated: list[int] = []
    for row, draw in enumerate(draws):
        change = dict(draw.sampling.logit_bias)
        if draw.seen is not None:
            repeated.append(row)
            before.add(row, change)
            change = {}
        presence, frequency = draw.sampling.presence_penalty, draw.sampling.frequency_penalty
        if presence or frequency:
            for token, count in draw.counts.items():
                change[token] = change.get(token, 0.0) - presence - frequency * count
        change.update((token, -torch.inf) for token in draw.forbidden if token < logits_BV.shape[-1])
        after.add(row, change)
    if not (before.rows or after.rows or repeated):
        return logits_BV
    adjusted_BV = logits_BV.clone()
    before.apply(adjusted_BV)
    if repeated:
        _penalize_repetition(adjusted_BV, repeated, draws)
    after.apply(adjusted_BV)
    return adjusted_BV


@dataclass
class _Additions:
    """Numbers to add to single logits, each of which is named at most once."""

    rows: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, row: int, change: dict[int, float]) -> None:
        self.rows += [row] * len(change)
        self.tokens += change
        self.values += change.values()

    def apply(self, logits_BV: Tensor) -> None:
        if self.rows:
            device = logits_BV.device
            places = torch.tensor([self.rows, self.tokens], device=device)
            logits_BV[places[0], places[1]] += torch.tensor(self.values, device=device, dtype=logits_BV.dtype)


def _penalize_repetition(logits_BV: Tensor, repeated: Sequence[int], draws: Sequence[Draw]) -> None:
    """Divides positive logits of seen tokens by the row's penalty and multiplies negative ones by it, in
    place."""
    seen = [draw.seen.parts for row in repeated if (draw := draws[row]).seen is not None]
    tokens_S = torch.cat([part for parts in seen for part in parts])
    lengths = torch.tensor([len(prompt_P) + len(answer_A) for prompt_P, answer_A in seen])
    penalties = torch.tensor(
        [draws[row].sampling.repetition_penalty for row in repeated], dtype=torch.float32
    )
    device = logits_BV.device
    rows_S = torch.tensor(repeated).repeat_interleave(lengths, output_size=len(tokens_S)).to(device)
    penalties_S = penalties.repeat_interleave(lengths, output_size=len(tokens_S)).to(device)
    tokens_S = tokens_S.to(device)
    # If a token occurs twice, the same number is written twice.
    found_S = logits_BV[rows_S, tokens_S]
    logits_BV[rows_S, tokens_S] = torch.where(found_S > 0, found_S / penalties_S, found_S * penalties_S)
