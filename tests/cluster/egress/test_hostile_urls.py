"""A corpus of URLs that try to reach what is not on the public internet."""

from collections.abc import Sequence

import httpcore2
import pytest

from cluster.egress.connecting import Network, Unreachable, post
from cluster.egress.destinations import EgressPolicy, UrlNotAllowed

REFUSED_BY_TEXT = [
    # Loopback and this host, in every spelling.
    "https://127.0.0.1/",
    "https://127.0.0.1:443/",
    "https://127.1.2.3/hook",
    "https://127.1/",
    "https://127.0.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://0177.0.0.01/",
    "https://127.0.0.1./",
    "https://00000127.0.0.1/",
    "https://127.0.0.0x1/",
    "https://127.0.0.1.0x/",
    "https://425.510.425.510/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://app.localhost/",
    "https://localhost.localdomain/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[0000::1]:443/",
    # IPv4 inside of IPv6.
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::169.254.169.254]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "https://[2001:470::5efe:10.0.0.1]/",
    "https://[2001:470::200:5efe:a00:1]/",
    # Private, local, reserved.
    "https://10.0.0.1/",
    "https://10.255.255.255/",
    "https://172.16.0.1/",
    "https://172.31.255.254/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.1.1/",
    "https://192.0.0.192/",
    "https://192.0.2.1/",
    "https://198.18.0.1/",
    "https://198.51.100.7/",
    "https://203.0.113.9/",
    "https://192.88.99.1/",
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[2606:4700:4700::1111%25lo]/",
    "https://[fc00::1]/",
    "https://[fd12:3456:789a::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    "https://[5f00::1]/",
    # Metadata services.
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/latest/meta-data/",
    "https://0xa9fea9fe/",
    "https://169.254.43518/",
    "https://[fd00:ec2::254]/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://metadata.google.internal/",
    # Letters and dots that mean others.
    "https://127。0。0。1/",
    "https://127.0.0.1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "https://localhost。/",
    "https://loc\u00adalhost/",
    # Who parses what.
    "https://user@example.com/",
    "https://user:secret@127.0.0.1/",
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1?@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1\\.example.com/",
    "https://example.com:443@127.0.0.1/",
    "https://:@127.0.0.1/",
    "https://exam ple.com/",
    "https://example.com\r\nHost: 127.0.0.1/",
    "https://example.com\t/",
    "https://example.com\x00.evil.net/",
    "https:///example.com/",
    "https:example.com/",
    "//example.com/",
    "https://",
    "https://[::1/",
    "https://[example.com]/",
    "https://example..com/",
    "https://-example.com/",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    "https://example.com/" + "a" * 2048,
    # Other schemes and ports.
    "http://example.com/",
    "HTTP://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "unix:///var/run/docker.sock",
    "data:text/plain,hello",
    "jar:https://example.com!/",
    "https://example.com:22/",
    "https://example.com:25/",
    "https://example.com:6379/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:https/",
    # Names of the inside.
    "https://redis/",
    "https://postgres.svc.cluster.local/",
    "https://printer.lan/",
    "https://router.home.arpa/",
    "https://hidden.onion/",
]
"""Refused as soon as the URL is named."""

REFUSED_AT_CONNECT = {
    "https://hooks.example.com/": ["10.0.0.7"],
    "https://127.0.0.1.nip.io/": ["127.0.0.1"],
    "https://0x7f000001.example.com/": ["127.0.0.1"],
    "https://localtest.me./": ["127.0.0.1", "::1"],
    "https://metadata.example.com/": ["169.254.169.254"],
    "https://one-of-two.example.com/": ["93.184.215.14", "192.168.0.1"],
    "https://six.example.com/": ["::1"],
    "https://scoped.example.com/": ["fe80::1%eth0"],
    "https://mapped.example.com/": ["::ffff:127.0.0.1"],
    "https://nat64.example.com/": ["64:ff9b::a00:1"],
    "https://6to4.example.com/": ["2002:7f00:1::"],
    "https://teredo.example.com/": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "https://azure.example.com/": ["168.63.129.16"],
    "https://aws6.example.com/": ["fd00:ec2::254"],
    "https://multicast.example.com/": ["224.0.0.1"],
    "https://bücher.example/": ["127.0.0.1"],
}
"""URLs that look public, with the addresses that their names have."""


class NoSockets(httpcore2.NetworkBackend):
    was_called = False

    def connect_tcp(self, *args: object, **options: object) -> httpcore2.NetworkStream:
        self.was_called = True
        raise httpcore2.ConnectError("no network here")


def test_what_is_public_is_connected_to() -> None:
    sockets = NoSockets()
    network = Network(lambda host, port: ["93.184.215.14"], sockets)
    with pytest.raises(Unreachable):
        post(
            "https://hooks.example.com/",
            policy=EgressPolicy(),
            content=b"",
            headers={},
            timeout_seconds=1,
            network=network,
        )
    assert sockets.was_called


@pytest.mark.parametrize("url", REFUSED_BY_TEXT)
def test_a_url_that_cannot_be_public_is_refused_when_it_is_named(url: str) -> None:
    with pytest.raises(UrlNotAllowed) as refused:
        EgressPolicy().check_url(url)
    assert refused.value.param == "url"


@pytest.mark.parametrize("url", [*REFUSED_BY_TEXT, *REFUSED_AT_CONNECT])
def test_no_connection_is_made(url: str) -> None:
    def resolve(host: str, port: int) -> Sequence[str]:
        return REFUSED_AT_CONNECT.get(url, ["127.0.0.1"])

    sockets = NoSockets()
    with pytest.raises(UrlNotAllowed):
        post(
            url,
            policy=EgressPolicy(),
            content=b"",
            headers={},
            timeout_seconds=1,
            network=Network(resolve, sockets),
        )
    assert not sockets.was_called


def test_the_corpus_is_large() -> None:
    assert len({*REFUSED_BY_TEXT, *REFUSED_AT_CONNECT}) >= 80
