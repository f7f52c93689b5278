"""Server-sent events: the events of a job, and the pieces of an answer.

https://html.spec.whatwg.org/multipage/server-sent-events.html"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from service.cli.failures import CommandFailed


class Event(NamedTuple):
    id: str | None
    """Id of this event, or of the last one that had an id; a reopened stream continues from it."""
    data: Any
    """Data decoded from JSON."""


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Ends with `[DONE]` or at the end of the lines; an event that is cut off there is left out. Raises
    CommandFailed for an error that the server sends in the middle, and for data that is not JSON."""
    event_id: str | None = None
    data: list[str] = []
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            event_id = value
        elif name == "data":
            data.append(value)
        elif not line and data:
            text = "\n".join(data)
            if text == "[DONE]":
                return
            yield Event(event_id, _parsed(text))
            data = []


def _parsed(text: str) -> Any:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise CommandFailed(f"The server sent an event that is not JSON: {error}") from error
    if isinstance(data, dict) and "error" in data and "id" not in data:
        said = data["error"]
        raise CommandFailed(str(said.get("message") if isinstance(said, dict) else said))
    return data
