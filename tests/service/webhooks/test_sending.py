"""Webhooks over a real socket, verified by the openai SDK."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from openai import InvalidWebhookSignatureError, OpenAI

from cluster.egress.connecting import Network, Unreachable, post
from cluster.egress.destinations import EgressPolicy
from service.db.webhooks.queue import Outcome, event_body
from service.webhooks.sending import HttpWebhooks
from tests.service.webhooks.receiver import Receiver, receiving

SECRET, OLD, OTHER = "whsec_c2VjcmV0", "whsec_b2xk", "whsec_b3RoZXI="
LOCAL = EgressPolicy.parse(["127.0.0.1", "hooks.example.com"])
SDK = OpenAI(api_key="none", base_url="http://127.0.0.1:1")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def send(url: str, *secrets: str) -> Outcome:
    body = event_body("evt_1", "fine_tuning.job.succeeded", 1_700_000_000, "ftjob-1")
    return HttpWebhooks(LOCAL)(url, secrets or (SECRET,), event_id="evt_1", body=body, at=time.time())


def test_the_sdk_unwraps_what_is_sent(receiver: Receiver) -> None:
    assert send(receiver.url) == Outcome(status_code=200, response="ok")
    ((headers, body),) = receiver.received
    event = SDK.webhooks.unwrap(body, headers, secret=SECRET)
    assert (event.id, event.type, event.data.id) == ("evt_1", "fine_tuning.job.succeeded", "ftjob-1")
    assert headers["webhook-id"] == "evt_1"
    assert headers["content-type"] == "application/json"
    with pytest.raises(InvalidWebhookSignatureError):
        SDK.webhooks.verify_signature(body, headers, secret=OTHER)
    with pytest.raises(InvalidWebhookSignatureError):
        SDK.webhooks.verify_signature(body.replace(b"ftjob-1", b"ftjob-2"), headers, secret=SECRET)


def test_while_a_secret_is_rotated_both_are_good(receiver: Receiver) -> None:
    send(receiver.url, SECRET, OLD)
    ((headers, body),) = receiver.received
    for secret in (SECRET, OLD):
        SDK.webhooks.verify_signature(body, headers, secret=secret)


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 302, {"location": receiver.url}
    outcome = send(receiver.url)
    assert (outcome.status_code, outcome.is_delivered, len(receiver.received)) == (302, False, 1)


def test_the_start_of_a_long_answer_is_kept(receiver: Receiver) -> None:
    receiver.answer = b"a\0\xff" + b"x" * 10_000_000
    response = send(receiver.url).response
    assert response is not None
    assert response.startswith("a\ufffd\ufffdx")
    assert len(response) == 2048


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(receiver.url).is_delivered


def test_the_connection_goes_to_the_address_that_was_checked(receiver: Receiver) -> None:
    lookups: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        lookups.append(host)
        return ["127.0.0.1"]

    url = receiver.url.replace("127.0.0.1", "hooks.example.com")
    send_to = HttpWebhooks(LOCAL, Network(resolve))
    assert send_to(url, [SECRET], event_id="evt_1", body="{}", at=1.0).is_delivered
    assert lookups == ["hooks.example.com"]
    ((headers, _),) = receiver.received
    assert headers["host"] == url.split("/")[2]


def test_what_is_not_allowed_is_an_outcome_that_says_why() -> None:
    outcome = send("https://10.0.0.1/")
    assert outcome.status_code is None
    assert outcome.error is not None
    assert "not on the public internet" in outcome.error


def test_a_closed_port_is_an_outcome_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert send(f"http://127.0.0.1:{port}/") == Outcome(error="No connection: Connection refused.")


@contextlib.contextmanager
def answering(*pieces: bytes, pause: float = 0.0) -> Iterator[str]:
    """A server that sends the pieces to each client, with a pause before each, and then nothing."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                client, _ = server.accept()
                with client:
                    for piece in pieces:
                        over.wait(pause)
                        client.sendall(piece)
                    over.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            over.set()
            thread.join()


def fails(url: str) -> str:
    with pytest.raises(Unreachable) as failed:
        post(url, policy=LOCAL, content=b"{}", headers={}, timeout_seconds=0.3)
    return failed.value.message


def test_a_silent_receiver_is_left_after_the_time_out() -> None:
    with answering() as url:
        assert fails(url) == "No answer within 0.3 seconds."


def test_a_receiver_that_drips_is_left_after_the_same_time() -> None:
    drops = [b"HTTP/1.1 200 OK\r\n", *[b"x: y\r\n"] * 100]
    with answering(*drops, pause=0.05) as url:
        assert fails(url) == "No answer within 0.3 seconds."


def test_an_answer_that_is_not_http_is_an_error_of_the_receiver() -> None:
    with answering(b"\x15\x03\x01\x00\x02\x02\x50" * 20 + b"\r\n\r\n") as url:
        assert fails(url) == "The answer is not valid HTTP."


def test_https_needs_a_trusted_certificate(receiver: Receiver) -> None:
    url = receiver.url.replace("http://", "https://")
    assert fails(url).startswith("The TLS handshake failed")


def test_a_certificate_is_checked_for_the_name_whatever_the_address(tmp_path: Path) -> None:
    certificate, key = self_signed("hooks.example.com", tmp_path)
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(certificate, key)
    names: list[str | None] = []
    server_side.sni_callback = lambda _, name, __: names.append(name)
    trusting = Network(lambda *_: ["127.0.0.1"], tls=ssl.create_default_context(cafile=certificate))
    with receiving(server_side) as receiver:
        for host, is_good in (("hooks.example.com", True), ("other.example.com", False)):
            policy = EgressPolicy.parse([host])
            url = receiver.url.replace("127.0.0.1", host)
            outcome = HttpWebhooks(policy, trusting)(url, [SECRET], event_id="evt_1", body="{}", at=1.0)
            assert outcome.is_delivered == is_good
        assert outcome.error is not None
        assert "Hostname mismatch" in outcome.error
    assert names == ["hooks.example.com", "other.example.com"]


def self_signed(name: str, folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
