"""Server-sent events are read as their standard says, however they are cut into lines."""

import pytest

from service.cli.failures import CommandFailed
from service.cli.http.events import Event, read_events


def test_an_event_keeps_its_id_and_the_next_one_without_an_id_has_it_too() -> None:
    lines = [": keep-alive", "", "id: 7", 'data: {"n":', "data:1}", "", 'data: {"n": 2}', ""]
    assert list(read_events(lines)) == [Event("7", {"n": 1}), Event("7", {"n": 2})]


def test_nothing_is_read_after_the_end_and_no_half_event() -> None:
    assert list(read_events(["data: 1", "", "data: [DONE]", "", "data: 2", ""])) == [Event(None, 1)]
    assert list(read_events(["data: 1", "", "data: 2"])) == [Event(None, 1)]


def test_an_error_in_the_middle_is_raised() -> None:
    lines = ["data: 1", "", 'data: {"error": {"message": "Gone."}}', ""]
    with pytest.raises(CommandFailed, match=r"Gone\."):
        list(read_events(lines))
    with pytest.raises(CommandFailed, match="not JSON"):
        list(read_events(["data: {", ""]))
