"""The state that a runner reports for an error."""

import logging
import re

import pytest

from cluster.contracts.errors import CorruptArtefact, InvalidDataset, TrainingFailed, TuneryError
from cluster.training.failure import failed_state


@pytest.mark.parametrize(
    ("error", "is_user_fault"),
    [
        (TrainingFailed("The loss is not a number.", code="non_finite_loss"), True),
        (InvalidDataset("Line 3 is empty."), True),
        (CorruptArtefact("The checkpoint is damaged."), False),
    ],
)
def test_a_domain_error_keeps_its_code_and_message(error: TuneryError, is_user_fault: bool) -> None:
    state = failed_state(error)
    assert (state.code, state.message, state.is_user_fault) == (error.code, error.message, is_user_fault)


def test_an_unexpected_error_is_the_platforms_fault_and_is_logged_under_its_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        state = failed_state(ValueError("secret detail"))
    assert (state.code, state.is_user_fault) == ("internal_error", False)
    (error_id,) = re.findall("err_[0-9a-f]{16}", state.message)
    assert "ValueError" in state.message
    assert "secret" not in state.message
    assert error_id in caplog.text
    assert "ValueError: secret detail" in caplog.text
