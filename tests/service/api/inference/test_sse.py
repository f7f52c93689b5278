"""Frames of server-sent events."""

import orjson
import pytest

from service.api.inference.sse import frame
from tests.api import LiveApi


def test_a_frame_ends_with_a_blank_line_and_may_carry_an_id() -> None:
    assert frame('{"a":1}') == b'data: {"a":1}\n\n'
    assert frame(b'{"a":1}', event_id="7") == b'id: 7\ndata: {"a":1}\n\n'


def test_no_unicode_line_separator_splits_a_frame() -> None:
    content = {"text": "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei\r\nj"}
    sent = frame(orjson.dumps(content)).decode()
    assert len(sent.splitlines()) == 2
    assert orjson.loads(sent.removeprefix("data: ")) == content


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_text_with_line_separators_reaches_a_client_whole(live: LiveApi) -> None:
    live.engine.pieces = ["one\u2028", "two\x85", "\r\nthree\u2029", "🙂"]
    chunks = live.openai().completions.create(model="base-1", prompt="x", stream=True)
    assert [chunk.choices[0].text for chunk in chunks] == [*live.engine.pieces, ""]
