"""Whether a tuned model ends its answers by itself."""

from typing import Any

import pytest

from cluster.contracts.errors import ContextLengthExceeded
from cluster.contracts.generation import ModelRef
from cluster.contracts.manifest import AnswerPrompt
from service.scheduling.stopping import stop_warning
from tests.api import BASE


class Serving:
    """Has memory for two tokens of a prompt."""

    def finish_reason(self, model: ModelRef, prompt: list[int], max_tokens: int) -> str:
        if len(prompt) > 2:
            raise ContextLengthExceeded("This model's context is 2 tokens.")
        return "length"


@pytest.mark.parametrize(("lengths", "tried"), [([3, 2, 1], 2), ([3, 3], 0)])
def test_prompts_that_serving_has_no_memory_for_are_not_tried(lengths: list[int], tried: int) -> None:
    prompts = [AnswerPrompt(token_ids=[7] * length, answer_tokens=1) for length in lengths]
    serving: Any = Serving()
    warning = stop_warning(ModelRef(base=BASE), prompts, serving)
    assert (warning is None) == (tried == 0)
    assert warning is None or f"any of {tried} training prompts" in warning
