"""How prompts of unequal lengths share forward passes: few passes against little padding. Pure."""

from collections.abc import Sequence


def split_by_length(lengths: Sequence[int], *, pass_tokens: int) -> list[list[int]]:
    """Indices into `lengths`, in groups that are padded to their longest, so that padded tokens and
    `pass_tokens` for each group are fewest. `pass_tokens`: what a forward pass costs besides its tokens, in
    tokens.

    The best groups are runs of the sorted lengths, so every beginning of those is solved by the ones before.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    costs, begins = [0], [0]
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        cost, begin = min(
            (costs[begin] + (end - begin) * longest + pass_tokens, begin) for begin in range(end)
        )
        costs.append(cost)
        begins.append(begin)
    groups: list[list[int]] = []
    end = len(order)
    while end:
        groups.append(sorted(order[begins[end] : end]))
        end = begins[end]
    return groups
