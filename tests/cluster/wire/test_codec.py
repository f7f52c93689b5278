"""Events and errors on their way from the engine to the service."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator

import pytest

from cluster.contracts import errors
from cluster.contracts.errors import TuneryError
from cluster.contracts.generation import (
    ErrorEvent,
    FinishEvent,
    GenerationEvent,
    PromptEvent,
    TextEvent,
    ToolCallEvent,
)
from cluster.wire.codec import chunk_seconds, decode_events, encode_error, encode_status, encode_stream

pytestmark = pytest.mark.anyio

FORESEEN = [
    errors.InvalidRequest,
    errors.InvalidDataset,
    errors.ContextLengthExceeded,
    errors.NotFound,
    errors.Overloaded,
    errors.Unavailable,
    errors.InvalidConfiguration,
    errors.CorruptArtefact,
    errors.TrainingFailed,
    errors.InternalError,
]


@pytest.mark.parametrize("kind", FORESEEN)
def test_what_was_foreseen_arrives_as_it_was_raised(kind: type[TuneryError]) -> None:
    line = encode_error(kind("why", code="so")).model_dump_json()
    arrived = ErrorEvent.model_validate_json(line).as_error()
    assert (type(arrived), arrived.message, arrived.code) == (kind, "why", "so")


def test_what_nobody_foresaw_is_logged_and_named_by_an_id(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        arrived = encode_error(ValueError("a secret")).as_error()
    assert type(arrived) is errors.InternalError
    assert "secret" not in arrived.message
    (error_id,) = re.findall("err_[0-9a-f]{16}", arrived.message)
    (record,) = caplog.records
    assert error_id in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "a secret"


def test_what_is_the_services_affair_is_not_its_callers() -> None:
    refusal = errors.AuthenticationFailed("The cluster's token is wrong.")
    assert type(encode_error(refusal).as_error()) is TuneryError
    assert encode_status(refusal) == 500


async def test_chunks_carry_all_events_and_the_number_of_tokens_in_them() -> None:
    sent: list[GenerationEvent] = [
        PromptEvent(prompt_tokens=3),
        TextEvent(index=0, text="a", completion_tokens=1),
        ToolCallEvent(index=1, call=0, name="f", completion_tokens=2),
        ToolCallEvent(index=1, call=0, arguments="{}", completion_tokens=2),
        TextEvent(index=0, text="b", completion_tokens=3),
        FinishEvent(index=0, reason="stop", completion_tokens=4),
        FinishEvent(index=1, reason="tool_calls", completion_tokens=3),
    ]

    async def events() -> AsyncGenerator[GenerationEvent, None]:
        for event in sent:
            await asyncio.sleep(0)
            yield event

    chunks = [chunk async for chunk in encode_stream(events())]
    assert [event for chunk in chunks for event in decode_events(chunk.lines.encode())] == sent
    assert sum(chunk.num_tokens for chunk in chunks) == 3 + 4 + 3


def test_where_many_streams_are_sent_each_has_fewer_chunks() -> None:
    assert [chunk_seconds(streams) for streams in (1, 8, 20, 40, 1000)] == [0.02, 0.02, 0.05, 0.1, 0.1]
