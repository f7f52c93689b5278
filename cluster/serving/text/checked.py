"""Checks finished answers against schemas that the grammar could not enforce completely."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import FinishEvent, GenerationEvent, TextEvent, ToolCallEvent
from cluster.serving.schemas.checks import problem
from cluster.serving.schemas.references import SchemaError

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Checks:
    """The schemas to check."""

    answer: Schema | None = None
    """The schema of an answer without calls."""
    calls: Mapping[str, Schema] = field(default_factory=dict)
    """The schemas of calls' arguments, by tool name."""
    lead: str = ""
    """Text that may precede an answer."""

    def __bool__(self) -> bool:
        return self.answer is not None or bool(self.calls)

    def failure(self, answer: "GeneratedAnswer") -> InvalidRequest | None:
        """Returns the error of a complete answer, if there is one."""
        if self.answer is not None and not answer.calls:
            text = answer.text.removeprefix(self.lead)
            return _failure("The answer", self.answer, text, "response_format")
        failures = (
            _failure(f"The call of '{name}'", self.calls[name], arguments, "tools")
            for name, arguments in answer.calls
            if name in self.calls
        )
        return next(filter(None, failures), None)


@dataclass
class GeneratedAnswer:
    """The text and calls of one choice."""

    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Names and arguments."""

    def add(self, event: TextEvent | ToolCallEvent) -> None:
        if isinstance(event, TextEvent):
            self.text += event.text
        elif event.name:
            self.calls.append((event.name, ""))
        else:
            name, arguments = self.calls[event.call]
            self.calls[event.call] = name, arguments + event.arguments


async def checked(
    events: AsyncGenerator[GenerationEvent, None],
    checks: Checks,
    run: Callable[[Callable[[], InvalidRequest | None]], Awaitable[InvalidRequest | None]],
) -> AsyncGenerator[GenerationEvent, None]:
    """Passes the events on. Raises InvalidRequest (`schema_not_followed`) instead of the FinishEvent of a
    choice that ended by itself and fails a check. `run` runs the check outside the event loop."""
    choices: dict[int, GeneratedAnswer] = {}
    async with aclosing(events):
        async for event in events:
            if checks and isinstance(event, TextEvent | ToolCallEvent):
                choices.setdefault(event.index, GeneratedAnswer()).add(event)
            if checks and isinstance(event, FinishEvent) and event.reason != "length":
                answer = choices.pop(event.index, GeneratedAnswer())
                if (failure := await run(partial(checks.failure, answer))) is not None:
                    raise failure
            yield event


def _failure(what: str, schema: Schema, text: str, param: str) -> InvalidRequest | None:
    try:
        found = problem(schema, text)
    except SchemaError as error:
        return InvalidRequest(
            f"{what} cannot be checked by '{param}': {error}.", code="unsupported_schema", param=param
        )
    if found is None:
        return None
    return InvalidRequest(
        f"{what} does not follow '{param}': {found}. This cannot be enforced during generation: try again, "
        "or leave it out of the schema and check the answer yourself.",
        code="schema_not_followed",
        param=param,
    )
