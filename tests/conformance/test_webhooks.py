"""`client.webhooks` of the openai SDK."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from openai import BadRequestError, InvalidWebhookSignatureError, NotFoundError, OpenAI

from cluster.egress.destinations import EgressPolicy
from service.api.state import AppState
from service.db.webhooks.queue import EVENT_TYPES, WebhookQueue
from service.webhooks.delivering import WebhookDeliverer
from service.webhooks.sending import HttpWebhooks
from tests.api import LiveApi
from tests.fakes import InlineExecutor
from tests.service.webhooks.receiver import Receiver, receiving

EVENTS = list(EVENT_TYPES)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def state(state: AppState) -> AppState:
    """With an operator who allows receivers on this machine."""
    return replace(state, webhooks=HttpWebhooks(EgressPolicy.parse(["127.0.0.1"])))


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


def test_endpoints_are_created_listed_changed_and_deleted(client: OpenAI) -> None:
    url = "https://hooks.example.com/tunery"
    created = client.webhooks.create(name="first", url=url, event_types=EVENTS)
    assert created.signing_secret.startswith("whsec_")
    others = [
        client.webhooks.create(name=f"n{i}", url=url, event_types=[EVENTS[0], EVENTS[0]]) for i in range(3)
    ]
    found = client.webhooks.retrieve(created.id)
    assert (found.name, found.url, found.event_types, found.object) == (
        "first",
        url,
        EVENTS,
        "webhook_endpoint",
    )
    assert found.signing_secret_hint == f"whsec_…{created.signing_secret.rstrip('=')[-4:]}"
    assert created.signing_secret not in client.webhooks.with_raw_response.retrieve(created.id).text
    listed = [endpoint.id for endpoint in client.webhooks.list(limit=2)]
    assert listed == [*(other.id for other in reversed(others)), created.id]
    changed = client.webhooks.update(created.id, name="renamed", event_types=[EVENTS[1]])
    assert (changed.name, changed.url, changed.event_types) == ("renamed", url, [EVENTS[1]])
    assert client.webhooks.delete(created.id).deleted
    with pytest.raises(NotFoundError):
        client.webhooks.retrieve(created.id)
    assert client.webhooks.event_types.list().data == EVENTS


def test_what_cannot_be_an_endpoint_is_refused(client: OpenAI) -> None:
    good = {"name": "n", "url": "https://hooks.example.com/", "event_types": EVENTS}
    for wrong, param in (
        ({"url": "http://hooks.example.com/"}, "url"),
        ({"url": "https://169.254.169.254/"}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["batch.completed"]}, "event_types[0]"),
        ({"name": ""}, "name"),
        ({"name": "a" * 257}, "name"),
    ):
        with pytest.raises(BadRequestError) as refused:
            client.webhooks.create(**good | wrong)
        assert refused.value.param == param
    created = client.webhooks.create(**good)
    with pytest.raises(BadRequestError) as refused:
        client.webhooks.update(created.id, url="https://localhost/")
    assert refused.value.code == "url_not_allowed"
    for _ in range(19):
        client.webhooks.create(**good)
    with pytest.raises(BadRequestError) as refused:
        client.webhooks.create(**good)
    assert refused.value.code == "too_many_endpoints"


def deliver(live: LiveApi) -> None:
    queue = WebhookQueue(live.state.database, retention_seconds=86_400, disable_after_seconds=86_400)
    WebhookDeliverer(queue, live.state.webhooks, InlineExecutor()).step()


def test_the_end_of_a_job_arrives_and_is_unwrapped(live: LiveApi, client: OpenAI, receiver: Receiver) -> None:
    endpoint = client.webhooks.create(name="n", url=receiver.url, event_types=EVENTS)
    job = client.fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    deliver(live)
    assert receiver.received == []
    client.fine_tuning.jobs.cancel(job.id)
    deliver(live)
    ((headers, body),) = receiver.received
    event = client.webhooks.unwrap(body, headers, secret=endpoint.signing_secret)
    assert (event.type, event.data.id, event.object) == ("fine_tuning.job.cancelled", job.id, "event")
    assert event.id == headers["webhook-id"]


def test_a_rotated_secret_signs_beside_the_old_one_if_that_is_asked_for(
    live: LiveApi, client: OpenAI, receiver: Receiver
) -> None:
    endpoint = client.webhooks.create(name="n", url=receiver.url, event_types=EVENTS)
    rotated = client.webhooks.rotate_secret(endpoint.id, keep_old_secret_active_for_24_hours=True)
    client.fine_tuning.jobs.cancel(
        client.fine_tuning.jobs.create(model="base-1", training_file=live.upload()).id
    )
    deliver(live)
    last = client.webhooks.rotate_secret(endpoint.id)
    client.fine_tuning.jobs.cancel(
        client.fine_tuning.jobs.create(model="base-1", training_file=live.upload()).id
    )
    deliver(live)
    (headers, body), (last_headers, last_body) = receiver.received
    for secret in (endpoint.signing_secret, rotated.signing_secret):
        client.webhooks.verify_signature(body, headers, secret=secret)
    client.webhooks.verify_signature(last_body, last_headers, secret=last.signing_secret)
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.verify_signature(last_body, last_headers, secret=rotated.signing_secret)


def test_a_sample_event_tells_what_the_receiver_answers(client: OpenAI, receiver: Receiver) -> None:
    endpoint = client.webhooks.create(name="n", url=receiver.url, event_types=EVENTS)
    receiver.status = 418
    result = client.webhooks.test(endpoint.id, event_type="fine_tuning.job.succeeded")
    assert (result.status_code, result.success, result.webhook_endpoint_id) == (418, True, endpoint.id)
    ((headers, body),) = receiver.received
    event = client.webhooks.unwrap(body, headers, secret=endpoint.signing_secret)
    assert event.type == result.event_type == "fine_tuning.job.succeeded"
    assert client.webhooks.retrieve(endpoint.id).updated_at == endpoint.updated_at
    client.webhooks.update(endpoint.id, url="http://127.0.0.1:1/")
    with pytest.raises(BadRequestError) as refused:
        client.webhooks.test(endpoint.id, event_type="fine_tuning.job.failed")
    assert refused.value.code == "url_unreachable"
