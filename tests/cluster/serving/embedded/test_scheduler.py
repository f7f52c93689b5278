from hypothesis import given
from hypothesis import strategies as st

from cluster.serving.embedded.scheduler import QueuedSequence, pick_group


def _choice(
    request: str, tenant: str = "a", num_tokens: int = 10, is_scored: bool = False, prefix: str = ""
) -> QueuedSequence:
    return QueuedSequence(request, tenant, num_tokens, is_scored, prefix)


def test_the_oldest_go_first_up_to_the_free_slots() -> None:
    waiting = [_choice(str(number)) for number in range(5)]
    assert pick_group(waiting, {}, free_slots=3, token_budget=100) == [0, 1, 2]


def test_the_tenant_with_fewer_slots_goes_first() -> None:
    waiting = [_choice("1"), _choice("2"), _choice("3", "b"), _choice("4", "b")]
    assert pick_group(waiting, {"a": 1}, free_slots=3, token_budget=100) == [2, 0, 3]


def test_padded_prompts_stay_within_the_budget() -> None:
    waiting = [_choice("1", num_tokens=10), _choice("2", num_tokens=30), _choice("3", num_tokens=10)]
    assert pick_group(waiting, {}, free_slots=9, token_budget=60) == [0, 1]


def test_a_prompt_over_the_budget_goes_alone() -> None:
    waiting = [_choice("1", num_tokens=500), _choice("2")]
    assert pick_group(waiting, {}, free_slots=9, token_budget=60) == [0]
    assert pick_group(waiting[::-1], {}, free_slots=9, token_budget=60) == [0]


def test_a_scored_prompt_goes_alone_with_its_own_choices() -> None:
    waiting = [_choice("1", is_scored=True), _choice("2"), _choice("1", is_scored=True)]
    assert pick_group(waiting, {}, free_slots=9, token_budget=60) == [0, 2]


def test_choices_of_one_request_count_their_prompt_once() -> None:
    waiting = [_choice("1", num_tokens=50) for _ in range(4)]
    assert pick_group(waiting, {}, free_slots=9, token_budget=60) == [0, 1, 2, 3]


def test_prompts_that_go_on_from_different_prefixes_are_not_prefilled_together() -> None:
    waiting = [_choice(str(place), prefix=prefix) for place, prefix in enumerate(["", "p", "", "q", "p"])]
    assert pick_group(waiting, {}, free_slots=9, token_budget=60) == [0, 2]
    assert pick_group(waiting[1:], {}, free_slots=9, token_budget=60) == [0, 3]


def test_only_prompts_that_are_sooner_done_pass_by() -> None:
    waiting = [_choice("1", num_tokens=40), _choice("2", num_tokens=9), _choice("3", num_tokens=20)]
    assert pick_group(waiting, {}, free_slots=9, token_budget=60, shorter_than=21) == [1, 2]
    assert pick_group(waiting, {}, free_slots=9, token_budget=60, shorter_than=9) == []


@given(
    waiting=st.lists(
        st.builds(
            lambda request, num_tokens: _choice(request, request[0], num_tokens, request[1] == "s"),
            # All sequences of a request have the same tenant, and are all scored or not.
            st.sampled_from([tenant + kind + number for tenant in "abc" for kind in "s-" for number in "12"]),
            st.integers(1, 90),
        ),
        max_size=20,
    ),
    free_slots=st.integers(1, 8),
)
def test_something_is_picked_and_never_more_than_fits(waiting: list[QueuedSequence], free_slots: int) -> None:
    picked = pick_group(waiting, {"a": 2}, free_slots=free_slots, token_budget=60)
    assert len(picked) == len(set(picked)) <= free_slots
    assert bool(picked) == bool(waiting)
    requests = {waiting[place].request_id for place in picked}
    if len(requests) > 1:
        assert not any(waiting[place].is_scored for place in picked)
