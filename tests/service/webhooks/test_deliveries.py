"""From the outbox to receivers, with a clock of the test's own."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
from sqlalchemy import select

from cluster.contracts.jobs import JobStatus
from service.db import tables
from service.db.database import Database, now
from service.db.webhooks.endpoints import WebhookDelivery, WebhookEndpoint, WebhookEndpoints
from service.db.webhooks.queue import EVENT_TYPES, GIVE_UP_SECONDS, Outcome, WebhookQueue
from service.webhooks.delivering import WebhookDeliverer
from tests.databases import on_both_databases
from tests.fakes import InlineExecutor
from tests.service.db.rows import OTHER, TENANT, add_job, add_tenants, move

Answer = Callable[[str], Outcome]
OK = Outcome(status_code=200, response="ok")
BROKEN = Outcome(status_code=500, response="broken")


class Killed(BaseException):
    """Ends a worker like a crash does."""


class Bench:
    """A database, a clock, receivers by URL, and any number of deliverers."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ahead = 0.0
        self.disable_after_seconds = 5 * 86_400.0
        self.give_up_seconds = GIVE_UP_SECONDS
        self.answers: dict[str, Answer] = {}
        self.sent: list[tuple[str, str]] = []
        """URL and event id of each try."""
        self.deliverer = self.new_deliverer()
        add_tenants(database)

    def new_deliverer(self, num_workers: int = 16) -> WebhookDeliverer:
        return WebhookDeliverer(self.queue(), self.send, InlineExecutor(), num_workers=num_workers)

    def queue(self) -> WebhookQueue:
        return WebhookQueue(
            self.database,
            retention_seconds=7 * 86_400,
            disable_after_seconds=self.disable_after_seconds,
            give_up_seconds=self.give_up_seconds,
            clock=lambda session: now(session) + self.ahead,
            chance=lambda: 1.0,
        )

    def send(self, url: str, secrets: Sequence[str], *, event_id: str, body: str, at: float) -> Outcome:
        self.sent.append((url, event_id))
        return self.answers.get(url, lambda _: OK)(event_id)

    def pass_time(self, seconds: float) -> None:
        """Lets the deliverer work whenever something is due."""
        until = self.ahead + seconds
        self.deliverer.step()
        while (wait := self._seconds_to_next()) is not None and self.ahead + wait <= until:
            self.ahead += wait + 0.001
            self.deliverer.step()
        self.ahead = max(until, self.ahead)
        self.deliverer.step()

    def _seconds_to_next(self) -> float | None:
        delivery, endpoint = tables.WebhookDelivery, tables.WebhookEndpoint
        with self.database.read() as session:
            at = now(session) + self.ahead
            pending = select(delivery.next_try_at, endpoint.held_until, endpoint.claimed_until)
            rows = session.execute(
                pending.join(endpoint, delivery.endpoint_id == endpoint.id).where(
                    delivery.status == "pending"
                )
            )
            return min((max(0.0, max(row) - at) for row in rows), default=None)

    def endpoint(self, url: str = "https://a.example/", tenant=TENANT, event_types=EVENT_TYPES) -> str:
        with self.database.write() as session:
            _, endpoint = WebhookEndpoints(session, tenant).create(
                name="test", url=url, event_types=event_types
            )
            return endpoint.id

    def see(self, id: str) -> WebhookEndpoint:
        with self.database.read() as session:
            return WebhookEndpoints(session, TENANT).get(id)

    def deliveries(self, id: str) -> list[WebhookDelivery]:
        with self.database.read() as session:
            return WebhookEndpoints(session, TENANT).deliveries(id, limit=100).data

    def end_jobs(self, count: int = 1, tenant=TENANT) -> list[str]:
        jobs = [add_job(self.database, tenant).id for _ in range(count)]
        for job in jobs:
            move(self.database, job, JobStatus.CANCELLED)
        return jobs


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(database)


def test_every_endpoint_gets_the_events_that_it_wants(bench: Bench) -> None:
    a, b = bench.endpoint("https://a.example/"), bench.endpoint("https://b.example/")
    failures = bench.endpoint("https://c.example/", event_types=["fine_tuning.job.failed"])
    bench.endpoint("https://other.example/", tenant=OTHER)
    jobs = bench.end_jobs(2)
    bench.deliverer.step()
    assert Counter(url for url, _ in bench.sent) == {"https://a.example/": 2, "https://b.example/": 2}
    assert bench.deliveries(failures) == []
    for endpoint in (a, b):
        assert {delivery.status for delivery in bench.deliveries(endpoint)} == {"delivered"}
    with bench.database.read() as session:
        bodies = [orjson.loads(body) for body in session.scalars(select(tables.WebhookDelivery.body))]
    assert {body["data"]["id"] for body in bodies} == set(jobs)
    assert all(body["object"] == "event" and body["id"].startswith("evt_") for body in bodies)


def test_an_endpoint_gets_no_older_events(bench: Bench) -> None:
    bench.end_jobs()
    with bench.database.write() as session:
        for entry in session.scalars(select(tables.OutboxEntry)):
            entry.created_at -= 10
    bench.endpoint()
    bench.deliverer.step()
    assert bench.sent == []


def test_a_receiver_that_fails_for_a_minute_gets_every_event_exactly_once(bench: Bench) -> None:
    accepted: list[str] = []
    began = bench.ahead

    def answer(event_id: str) -> Outcome:
        if bench.ahead - began < 60:
            return BROKEN
        accepted.append(event_id)
        return OK

    endpoint = bench.endpoint()
    bench.answers["https://a.example/"] = answer
    bench.end_jobs(5)
    bench.pass_time(30)
    bench.end_jobs(5)
    bench.pass_time(300)
    deliveries = bench.deliveries(endpoint)
    assert len(deliveries) == 10
    assert Counter(accepted) == Counter(delivery.event_id for delivery in deliveries)
    assert {delivery.status for delivery in deliveries} == {"delivered"}
    assert bench.see(endpoint).failures == 0


def test_a_dead_receiver_delays_no_other_and_is_not_flooded(bench: Bench) -> None:
    dead = bench.endpoint("https://dead.example/")
    bench.endpoint("https://alive.example/")
    bench.answers["https://dead.example/"] = lambda _: Outcome(error="No connection.")
    bench.end_jobs(12)
    bench.deliverer.step()
    tries = Counter(url for url, _ in bench.sent)
    assert tries == {"https://alive.example/": 12, "https://dead.example/": 1}
    bench.pass_time(3600)
    # 5, 10, 20, … seconds apart, at most 15 minutes.
    assert Counter(url for url, _ in bench.sent)["https://dead.example/"] <= 12
    assert bench.see(dead).failures <= 12


def test_one_event_that_is_refused_does_not_stop_the_others(bench: Bench) -> None:
    endpoint = bench.endpoint()
    bench.end_jobs(5)
    bench.deliverer.step()
    bench.sent.clear()
    bench.end_jobs(5)
    poison: list[str] = []

    def answer(event_id: str) -> Outcome:
        poison[:] = poison or [event_id]
        return BROKEN if event_id in poison else OK

    bench.answers["https://a.example/"] = answer
    bench.pass_time(10)
    by_status = Counter(delivery.status for delivery in bench.deliveries(endpoint))
    assert by_status == {"delivered": 9, "pending": 1}


def test_a_delivery_is_given_up_after_a_time_and_stays_visible(bench: Bench) -> None:
    bench.give_up_seconds = 600
    bench.deliverer = bench.new_deliverer()
    endpoint = bench.endpoint()
    bench.answers["https://a.example/"] = lambda _: BROKEN
    bench.end_jobs()
    bench.pass_time(300)
    (delivery,) = bench.deliveries(endpoint)
    assert (delivery.status, delivery.status_code, delivery.response) == ("pending", 500, "broken")
    assert delivery.next_try_at is not None
    bench.pass_time(400)
    (delivery,) = bench.deliveries(endpoint)
    assert (delivery.status, delivery.next_try_at) == ("failed", None)
    bench.pass_time(4000)
    assert bench.deliveries(endpoint)[0].tries == delivery.tries == len(bench.sent)


def test_what_waited_too_long_behind_a_dead_receiver_is_given_up_untried(bench: Bench) -> None:
    bench.give_up_seconds = 600
    bench.deliverer = bench.new_deliverer()
    endpoint = bench.endpoint()
    bench.answers["https://a.example/"] = lambda _: BROKEN
    bench.end_jobs(12)
    bench.pass_time(700)
    bench.pass_time(900)
    deliveries = bench.deliveries(endpoint)
    assert {delivery.status for delivery in deliveries} == {"failed"}
    assert 0 in {delivery.tries for delivery in deliveries}


def test_410_disables_the_endpoint_and_enabling_it_sends_later_events(bench: Bench) -> None:
    endpoint = bench.endpoint()
    bench.answers["https://a.example/"] = lambda _: Outcome(status_code=410)
    bench.end_jobs(3)
    bench.pass_time(100)
    assert len(bench.sent) == 1
    assert bench.see(endpoint).disabled_reason == "The receiver answered 410 Gone."
    assert {delivery.status for delivery in bench.deliveries(endpoint)} == {"failed"}
    bench.end_jobs()
    bench.pass_time(100)
    assert len(bench.sent) == 1
    bench.answers.clear()
    with bench.database.write() as session:
        WebhookEndpoints(session, TENANT).enable(endpoint)
    bench.end_jobs()
    bench.deliverer.step()
    assert len(bench.sent) == 2
    assert bench.see(endpoint).disabled_at is None


def test_an_endpoint_that_fails_for_days_is_disabled(bench: Bench) -> None:
    bench.disable_after_seconds = 0.05 * 86_400
    bench.deliverer = bench.new_deliverer()
    endpoint = bench.endpoint()
    bench.answers["https://a.example/"] = lambda _: BROKEN
    bench.end_jobs()
    bench.pass_time(3600)
    assert bench.see(endpoint).disabled_reason is None
    bench.pass_time(3600)
    assert bench.see(endpoint).disabled_reason == "Every delivery has failed for 0.05 days."


def test_a_delivery_is_retried_for_a_day_unless_it_arrives(bench: Bench) -> None:
    bench.endpoint()
    bench.end_jobs()
    queue = bench.queue()
    queue.fan_out()
    with bench.database.read() as session:
        (delivery,) = session.scalars(select(tables.WebhookDelivery))
        assert delivery.expires_at - now(session) == pytest.approx(86_400, abs=60)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_everything_but_2xx_is_a_failure(bench: Bench, status: int) -> None:
    endpoint = bench.endpoint()
    bench.answers["https://a.example/"] = lambda _: Outcome(status_code=status)
    bench.end_jobs()
    bench.deliverer.step()
    assert bench.deliveries(endpoint)[0].status == "pending"


def test_an_event_whose_result_was_lost_in_a_crash_is_sent_again_with_its_id(bench: Bench) -> None:
    endpoint = bench.endpoint()
    bench.end_jobs(2)

    def crash(event_id: str) -> Outcome:
        raise Killed

    bench.answers["https://a.example/"] = crash
    with pytest.raises(Killed):
        bench.deliverer.step()
    bench.answers.clear()
    bench.deliverer = bench.new_deliverer()
    bench.deliverer.step()
    assert len(bench.sent) == 1, "the dead worker's claim has not expired"
    bench.pass_time(61)
    assert [event_id for _, event_id in bench.sent].count(bench.sent[0][1]) == 2
    assert {delivery.status for delivery in bench.deliveries(endpoint)} == {"delivered"}
    assert len(bench.sent) == 3


@on_both_databases
def test_two_deliverers_do_not_serve_one_endpoint_at_once(bench: Bench) -> None:
    bench.endpoint()
    bench.end_jobs(3)
    other = bench.new_deliverer()

    def answer(event_id: str) -> Outcome:
        other.step()
        return OK

    bench.answers["https://a.example/"] = answer
    bench.deliverer.step()
    assert len(bench.sent) == len(set(bench.sent)) == 3


@on_both_databases
def test_what_a_worker_records_after_losing_its_claim_is_ignored(bench: Bench) -> None:
    endpoint = bench.endpoint()
    bench.end_jobs()
    old, new = bench.queue(), bench.queue()
    old.fan_out()
    (claim,) = old.claim(1)
    tried = old.begin_try(claim)
    bench.ahead += 61
    (newer,) = new.claim(1)
    again = new.begin_try(newer)
    assert (again.event_id, again.delivery_id) == (tried.event_id, tried.delivery_id)
    old.record(tried, BROKEN)
    assert bench.deliveries(endpoint)[0].tries == 0
    assert old.begin_try(claim) is None
    new.record(again, OK)
    assert bench.deliveries(endpoint)[0].status == "delivered"


@on_both_databases
def test_endpoints_take_turns_when_workers_are_few(bench: Bench) -> None:
    urls = [f"https://{name}.example/" for name in "abcd"]
    for url in urls:
        bench.endpoint(url)
    bench.end_jobs()
    queue = bench.queue()
    queue.fan_out()
    turns = []
    for _ in range(8):
        (claim,) = queue.claim(1)
        turns.append(claim.endpoint_id)
        bench.ahead += 1
        queue.release(claim)
    assert turns[:4] == turns[4:]
    assert len(set(turns)) == 4


@on_both_databases
def test_deliverers_that_run_at_the_same_time_send_every_event_once(bench: Bench) -> None:
    for name in "abc":
        bench.endpoint(f"https://{name}.example/")
    bench.end_jobs(4)
    with ThreadPoolExecutor(16) as workers:
        deliverers = [WebhookDeliverer(bench.queue(), bench.send, workers) for _ in range(4)]
        for _ in range(3):
            for done in [workers.submit(deliverer.step) for deliverer in deliverers]:
                done.result()
    bench.deliverer.step()
    assert len(bench.sent) == len(set(bench.sent)) == 12


@on_both_databases
def test_ended_deliveries_and_outbox_rows_are_deleted_after_a_week(bench: Bench) -> None:
    endpoint = bench.endpoint()
    bench.end_jobs(3)
    bench.deliverer.step()
    queue = bench.queue()
    assert queue.prune() == 0
    bench.ahead += 8 * 86_400
    bench.end_jobs(1)
    assert queue.prune() > 0
    assert queue.prune() == 0
    assert bench.deliveries(endpoint) == []
    with bench.database.read() as session:
        topics = session.scalars(select(tables.OutboxEntry.topic)).all()
    assert topics == ["fine_tuning.job.created", "fine_tuning.job.cancelled"]


def test_redelivery_sends_the_same_id_again(bench: Bench) -> None:
    endpoint = bench.endpoint()
    bench.end_jobs()
    bench.deliverer.step()
    (delivery,) = bench.deliveries(endpoint)
    with bench.database.write() as session:
        WebhookEndpoints(session, TENANT).redeliver(endpoint, delivery.id)
    bench.deliverer.step()
    assert bench.sent == [("https://a.example/", delivery.event_id)] * 2


def test_nothing_is_sent_after_an_endpoint_is_deleted(bench: Bench) -> None:
    endpoint = bench.endpoint()
    bench.answers["https://a.example/"] = lambda _: BROKEN
    bench.end_jobs(2)
    bench.deliverer.step()
    with bench.database.write() as session:
        WebhookEndpoints(session, TENANT).delete(endpoint)
    bench.pass_time(3600)
    assert len(bench.sent) == 1


def test_an_error_of_our_own_is_counted(bench: Bench) -> None:
    def broken(url: str, secrets: Sequence[str], *, event_id: str, body: str, at: float) -> Outcome:
        raise ValueError("a bug")

    failed: list[str] = []
    bench.endpoint()
    bench.end_jobs()
    WebhookDeliverer(bench.queue(), broken, InlineExecutor(), note_failure=failed.append).step()
    assert failed == ["webhooks"]
