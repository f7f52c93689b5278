import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.contracts.errors import InvalidConfiguration
from cluster.egress.addresses import is_public_address
from cluster.egress.destinations import EgressPolicy, UrlNotAllowed

LOCAL = EgressPolicy.parse(["localhost", "hooks.internal", "10.1.0.0/16", "fd00::/8"])


@pytest.mark.parametrize(
    "address",
    [
        "93.184.215.14",
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "168.63.129.17",
        "2606:4700:4700::1111",
        "2a00:1450:4001::200e",
        "64:ff9b::101:101",
        "::ffff:1.1.1.1",
    ],
)
def test_hosts_on_the_internet_are_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("https://example.com", "example.com", 443, "/"),
        ("https://Example.COM./a?b=c", "example.com", 443, "/a?b=c"),
        ("https://example.com:8443/a%20b", "example.com", 8443, "/a%20b"),
        ("https://bücher.example/ü?q=ü#part", "xn--bcher-kva.example", 443, "/%C3%BC?q=%C3%BC"),
        ("https://1.1.1.1/", "1.1.1.1", 443, "/"),
        ("https://[2606:4700:4700::1111]/", "2606:4700:4700::1111", 443, "/"),
        ("https://my_app.example.com/", "my_app.example.com", 443, "/"),
        ("https://example.com/?", "example.com", 443, "/"),
    ],
)
def test_a_public_url_is_taken_apart(url: str, host: str, port: int, target: str) -> None:
    destination = EgressPolicy().check_url(url)
    assert (destination.host, destination.port, destination.target) == (host, port, target)


def test_the_host_header_names_what_is_not_usual() -> None:
    policy = EgressPolicy()
    assert policy.check_url("https://a.example/").host_header == "a.example"
    assert policy.check_url("https://a.example:8443/").host_header == "a.example:8443"
    assert policy.check_url("https://[2606:4700::1]:8443/").host_header == "[2606:4700::1]:8443"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:3000/hook",
        "https://hooks.internal:9000/",
        "http://10.1.2.3:8080/",
        "http://[fd00::7]/",
    ],
)
def test_the_operator_can_allow_what_is_not_public(url: str) -> None:
    LOCAL.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://other.internal/",
        "https://10.2.0.1/",
        "http://127.0.0.1:3000/",
        "https://sub.localhost/",
        "http://user@localhost/",
        "ftp://localhost/",
    ],
)
def test_what_the_operator_did_not_list_stays_refused(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        LOCAL.check_url(url)


def test_addresses_are_allowed_by_host_or_network() -> None:
    LOCAL.check_address("localhost", "127.0.0.1")
    LOCAL.check_address("hooks.example.com", "10.1.2.3")
    LOCAL.check_address("hooks.example.com", "::ffff:10.1.2.3")
    for address in ("10.2.0.1", "127.0.0.1", "::ffff:10.2.0.1"):
        with pytest.raises(UrlNotAllowed):
            LOCAL.check_address("hooks.example.com", address)


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "not a name", "https://example.com", "1.2.3", "300.0.0.0/8"])
def test_a_wrong_entry_is_the_operators_mistake(entry: str) -> None:
    with pytest.raises(InvalidConfiguration, match="neither a host name"):
        EgressPolicy.parse([entry])


@given(
    st.lists(
        st.sampled_from(
            [*"https://127.0.0.1[]:@#?%\\。①é\t ", "::1", "localhost", "example.com", "0x7f", ":443"]
        )
        | st.text(max_size=3),
        max_size=12,
    )
)
def test_any_text_is_a_public_destination_or_refused(pieces: list[str]) -> None:
    with contextlib.suppress(UrlNotAllowed):
        destination = EgressPolicy().check_url("".join(["https://", *pieces]))
        assert destination.port in (443, 8443)
        assert destination.host.isascii()
        assert destination.target.isascii()
        assert destination.host not in ("127.0.0.1", "::1", "localhost")
