from itertools import product

from cluster.serving.embedded.padding import split_by_length


def _cost(lengths: list[int], groups: list[list[int]], pass_tokens: int) -> int:
    return sum(len(group) * max(lengths[i] for i in group) + pass_tokens for group in groups)


def test_prompts_of_one_length_share_a_pass() -> None:
    assert split_by_length([7, 7, 7], pass_tokens=1) == [[0, 1, 2]]


def test_a_long_prompt_does_not_pad_the_short_ones() -> None:
    assert split_by_length([5, 100, 6], pass_tokens=10) == [[1], [0, 2]]


def test_dear_passes_are_shared_whatever_the_padding() -> None:
    assert split_by_length([5, 100, 6], pass_tokens=1000) == [[0, 1, 2]]


def test_no_other_grouping_costs_less() -> None:
    lengths = [9, 3, 14, 4, 9, 21]
    for pass_tokens in (1, 6, 12, 40):
        groups = split_by_length(lengths, pass_tokens=pass_tokens)
        assert sorted(place for group in groups for place in group) == list(range(len(lengths)))
        every = [
            [[i for i, own in enumerate(assigned) if own == group] for group in set(assigned)]
            for assigned in product(range(4), repeat=len(lengths))
        ]
        assert _cost(lengths, groups, pass_tokens) == min(_cost(lengths, g, pass_tokens) for g in every)
