"""Groups prompts of unequal lengths into forward passes, trading fewer passes against less padding. Pure."""

from collections.abc import Sequence


def split_by_length(lengths: Sequence[int], *, pass_tokens: int) -> list[list[int]]:
    """Splits the indices into `lengths` into groups that are padded to their longest member, so that the
    padded tokens plus `pass_tokens` per group are minimal. `pass_tokens` is the fixed cost of a forward pass,
    in tokens.

    The best groups are runs of the sorted lengths, which dynamic programming over prefixes finds.
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
