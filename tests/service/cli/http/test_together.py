"""Requests that run at the same time end together, though the server leaves them without an answer."""

import time
from functools import partial

import pytest

from service.cli.failures import CommandFailed, Unavailable
from service.cli.http.together import run_together
from service.cli.remote import Api, Target
from tests.service.cli.half_deaf import half_deaf


def test_the_first_failure_breaks_the_requests_of_all_others_and_the_client_goes_on() -> None:
    broken: list[CommandFailed] = []
    began: list[str] = []

    with half_deaf(lambda method, path: None if path == "/v1/slow" else (200, {})) as server:
        api = Api(Target(f"{server.url}/v1", "key"))

        def ask(body: dict[str, str]) -> None:
            try:
                api.post("/slow", body)
            except CommandFailed as error:
                broken.append(error)
                raise

        def fail() -> None:
            server.wait_for(2)
            raise CommandFailed("No.")

        # More than the socket's buffers hold, which the server does not read.
        large = {"text": "x" * 20_000_000}
        calls = [partial(ask, {}), partial(ask, large), fail, lambda: began.append("too late")]
        start = time.monotonic()
        with pytest.raises(CommandFailed, match=r"No\."):
            run_together(calls, at_once=3, stop=api.http.break_off)
        assert time.monotonic() - start < 30
        assert [type(error) for error in broken] == [Unavailable, Unavailable]
        assert began == []
        assert api.get("/quick") == {}
        api.close()


def test_all_calls_are_made_if_none_fails() -> None:
    seen: list[int] = []
    calls = [partial(seen.append, number) for number in range(9)]
    run_together(calls, at_once=3, stop=lambda: pytest.fail("nothing is to be stopped"))
    assert sorted(seen) == list(range(9))
