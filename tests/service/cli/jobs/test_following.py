"""A job's events arrive once each, whatever becomes of the connection."""

import json

import httpx2
import pytest

from service.cli.failures import CommandFailed, Unavailable
from service.cli.jobs.following import follow, logged_events
from service.cli.jobs.watching import watch
from service.cli.lookups import find_job
from service.cli.remote import Api, Target

JOB = "ftjob-1"


class Server:
    """Has `total` events, and breaks each stream off after `at_most` of them."""

    def __init__(self, total: int = 7, *, at_most: int = 100) -> None:
        self.total, self.at_most = total, at_most
        self.began_after: list[int] = []
        self.page_sizes: list[int] = []
        self.refusals: list[httpx2.Response] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if self.refusals:
            return self.refusals.pop()
        if not request.url.path.endswith("/events"):
            return httpx2.Response(200, json={"status": "succeeded"})
        if request.url.params.get("stream") != "true":
            return self.page(request)
        last = int(request.headers["last-event-id"])
        self.began_after.append(last)
        return httpx2.Response(200, stream=Stream(last + 1, self.total, self.at_most))

    def page(self, request: httpx2.Request) -> httpx2.Response:
        """The newest event first."""
        end = int(request.url.params.get("after", f"ftevent-{self.total}").removeprefix("ftevent-"))
        self.page_sizes.append(limit := int(request.url.params["limit"]))
        numbers = range(end - 1, max(-1, end - 1 - limit), -1)
        data = [{"id": f"ftevent-{number}"} for number in numbers]
        return httpx2.Response(200, json={"data": data, "has_more": end > limit})


class Stream(httpx2.SyncByteStream):
    def __init__(self, first: int, total: int, at_most: int) -> None:
        self._numbers = range(first, total)
        self._at_most = at_most

    def __iter__(self):
        yield b": keep-alive\n\n"
        for number in self._numbers[: self._at_most]:
            yield f"id: {number}\ndata: {json.dumps({'id': f'ftevent-{number}'})}\n\n".encode()
        if len(self._numbers) > self._at_most:
            raise httpx2.ReadError("reset")


def events_of(server: Server, troubles: list[str | None] | None = None) -> list[str]:
    api = Api(Target("http://127.0.0.1/v1", "key"), transport=httpx2.MockTransport(server))
    noted: list[str | None] = [] if troubles is None else troubles
    found = follow(api, JOB, sleep=lambda _: None, on_trouble=noted.append)
    return [event["id"] for event in found]


def test_every_event_arrives_once_over_broken_connections() -> None:
    server, troubles = Server(at_most=3), []
    broken = "http://127.0.0.1/v1 broke off its answer: reset"
    assert events_of(server, troubles) == [f"ftevent-{number}" for number in range(7)]
    assert server.began_after == [-1, 2, 5, 6], "the last one finds nothing left"
    assert troubles == [broken, None, broken, None]


def test_a_server_that_restarts_is_waited_for() -> None:
    server = Server()
    server.refusals = [httpx2.Response(503, json={}), httpx2.Response(502, text="Bad gateway")]
    assert len(events_of(server)) == 7


def test_a_fault_of_the_server_is_no_reason_to_give_up() -> None:
    fault = httpx2.Response(500, json={"error": {"message": "The server had an error.", "code": None}})
    server, troubles = Server(), []
    server.refusals = [fault]
    assert len(events_of(server, troubles)) == 7
    assert troubles == ["The server had an error.", None]


def test_the_job_is_asked_for_until_the_server_says_what_has_become_of_it() -> None:
    fault = httpx2.Response(500, json={}, headers={"retry-after-ms": "0"})

    class Failing(Server):
        num_asked = 0

        def __call__(self, request: httpx2.Request) -> httpx2.Response:
            self.num_asked += not request.url.path.endswith("/events")
            return fault if self.num_asked in (2, 3) else super().__call__(request)

    api = Api(Target("http://127.0.0.1/v1", "key"), transport=httpx2.MockTransport(Failing(total=0)))
    assert watch(api, JOB) == {"status": "succeeded"}


@pytest.mark.parametrize(("status", "exit_code"), [(401, 3), (404, 4), (400, 1)])
def test_a_refusal_ends_it(status: int, exit_code: int) -> None:
    server = Server()
    server.refusals = [httpx2.Response(status, json={"error": {"message": "No.", "code": None}})]
    with pytest.raises(CommandFailed) as caught:
        events_of(server)
    assert caught.value.exit_code == exit_code


def logged(server: Server, **options: object) -> list[str]:
    found = logged_events(api_of(server), JOB, sleep=lambda _: None, **options)
    return [event["id"] for event in found]


def api_of(server: object) -> Api:
    return Api(Target("http://127.0.0.1/v1", "key"), transport=httpx2.MockTransport(server))


def named(*numbers: int) -> list[str]:
    return [f"ftevent-{number}" for number in numbers]


def away() -> httpx2.Response:
    return httpx2.Response(503, headers={"retry-after-ms": "0"}, json={})


def test_past_events_come_oldest_first_and_end_with_the_newest_although_the_job_goes_on() -> None:
    server = Server(total=3)
    found = logged_events(api_of(server), JOB, sleep=lambda _: None)
    assert next(found)["id"] == "ftevent-0"
    server.total = 5
    assert [event["id"] for event in found] == named(1, 2)
    assert server.page_sizes == [1]
    assert logged(Server(total=0)) == []


def test_past_events_are_printed_before_all_of_them_are_read() -> None:
    server = Server(total=2000, at_most=1)
    found = logged_events(api_of(server), JOB, sleep=lambda _: None)
    assert [next(found)["id"] for _ in range(3)] == named(0, 1, 2)
    assert len(server.began_after) == 3


def test_the_tail_is_the_newest_events_oldest_first_in_pages_of_a_thousand() -> None:
    server = Server(total=2500)
    assert logged(server, tail=3) == named(2497, 2498, 2499)
    assert logged(server, tail=2000) == named(*range(500, 2500))
    assert server.page_sizes == [3, 1000, 1000]
    assert logged(Server(total=2), tail=3) == named(0, 1)


def test_a_followed_tail_goes_on_with_what_comes_next() -> None:
    assert logged(Server(total=7), is_followed=True, tail=2) == named(5, 6)
    assert logged(Server(total=7), is_followed=True) == named(*range(7))
    assert logged(Server(total=0), is_followed=True, tail=2) == []


def test_events_are_read_although_the_server_restarts() -> None:
    for options in ({}, {"tail": 5}):
        server = Server(total=5)
        server.refusals = [away(), away()]
        assert logged(server, **options) == named(*range(5))


def test_past_events_are_not_waited_for_without_end() -> None:
    server, slept = Server(total=5, at_most=2), []
    found = logged_events(api_of(server), JOB, sleep=slept.append)
    assert [next(found)["id"] for _ in range(2)] == named(0, 1)
    server.refusals = [away() for _ in range(100)]
    with pytest.raises(Unavailable):
        list(found)
    assert 30 <= sum(slept) <= 60


def test_a_job_is_found_although_the_server_restarts() -> None:
    server = Server()
    server.refusals = [away(), httpx2.Response(502, headers={"retry-after-ms": "0"}, text="Bad gateway")]
    assert find_job(api_of(server), JOB) == {"status": "succeeded"}
