"""Chooses which queued sequences to prefill next. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueuedSequence:
    """A sequence that waits for a slot."""

    request_id: str
    tenant: str
    num_tokens: int
    """Length of its prompt."""
    is_scored: bool
    """Whether log-probabilities of the prompt are requested, which need a row of logits per prompt token."""
    prefix: str = ""
    """Digest of the learned prefix before its prompt; "" for none."""


def pick_group(
    waiting: Sequence[QueuedSequence],
    running: Mapping[str, int],
    *,
    free_slots: int,
    token_budget: int,
    shorter_than: int | None = None,
) -> list[int]:
    """Returns indices into `waiting` (oldest first) of the sequences to prefill together: at most
    `free_slots`, with prompts of fewer tokens than `shorter_than` if given.

    The tenant with the fewest slots goes first, then the older request. A flood therefore delays other
    tenants by the slots that it holds, but not by its queue. Sequences of one request share a prefill. A
    group shares one prefix, and its prompts, padded to the longest, stay within `token_budget`; a longer or
    scored prompt is prefilled alone."""
    slots = dict(running)
    left = [
        place
        for place, sequence in enumerate(waiting)
        if shorter_than is None or sequence.num_tokens < shorter_than
    ]
    picked: list[int] = []
    requests: set[str] = set()
    longest = 0
    while left and len(picked) < free_slots:
        best = min(left, key=lambda place: (slots.get(waiting[place].tenant, 0), place))
        sequence = waiting[best]
        if sequence.request_id not in requests:
            padded = max(longest, sequence.num_tokens) * (len(requests) + 1)
            is_alone = sequence.is_scored or padded > token_budget
            if requests and is_alone:
                break
            requests.add(sequence.request_id)
            longest = max(longest, sequence.num_tokens)
            if is_alone:
                siblings = [place for place in left if waiting[place].request_id == sequence.request_id]
                return siblings[:free_slots]
        if not picked:
            left = [place for place in left if waiting[place].prefix == sequence.prefix]
        picked.append(best)
        left.remove(best)
        slots[sequence.tenant] = slots.get(sequence.tenant, 0) + 1
    return picked
