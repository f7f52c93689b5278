"""Checks the text of users' URLs, and decides which of them may be called."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NoReturn
from urllib.parse import quote, urlsplit

import idna

from cluster.contracts.errors import InvalidConfiguration, InvalidRequest
from cluster.egress.addresses import Address, Network, embedded_address, is_public_address

MAX_URL_LENGTH = 2048
_DEFAULT_PORTS = {"https": 443, "http": 80}
_PUBLIC_PORTS = (443, 8443)
_LOCAL_NAMES = ("localhost", "local", "localdomain", "internal", "intranet", "lan", "home.arpa", "onion")
"""Names that, like everything below them, never belong to a public host."""
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_PATH_CHARACTERS = "/:@!$&'()*+,;=-._~%?"


class UrlNotAllowed(InvalidRequest):
    """A URL that may not be called, or one whose host has an address that may not."""

    default_code = "url_not_allowed"


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL in parts that need no further parsing, so that exactly what was checked is called."""

    scheme: str
    host: str
    """A name in ASCII and lower case, or an address without brackets."""
    port: int
    target: str
    """Path and query, percent-encoded."""

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Public hosts over https on ports 443 and 8443, and what the operator allows in addition."""

    hosts: frozenset[str] = frozenset()
    """Names and addresses that may also be called over http, on any port and whatever the address."""
    networks: tuple[Network, ...] = ()
    """Addresses that may be called although they are not public. Only over http if the URL gives the address
    itself, because a name could lead elsewhere."""

    @staticmethod
    def parse(entries: Iterable[str]) -> "EgressPolicy":
        """Parses names, addresses and networks such as `10.1.0.0/16`. Raises InvalidConfiguration."""
        hosts, networks = set(), []
        for entry in entries:
            try:
                if "/" in entry:
                    networks.append(ip_network(entry))
                else:
                    hosts.add(_normal_host(entry.strip("[]")))
            except (ValueError, UrlNotAllowed) as error:
                raise InvalidConfiguration(
                    f"'{entry}' is neither a host name, an address nor a network such as 10.1.0.0/16."
                ) from error
        return EgressPolicy(frozenset(hosts), tuple(networks))

    def check_url(self, url: str, *, param: str = "url") -> Destination:
        """Takes a URL apart. Raises UrlNotAllowed, which says why, if no call of it could be allowed. The
        addresses of names are checked when connecting."""
        try:
            return self._checked(url)
        except UrlNotAllowed as error:
            error.param = param
            raise

    def check_address(self, host: str, address: str) -> None:
        """Raises UrlNotAllowed unless a connection to `host`, which has this address, is allowed."""
        if not (self._is_listed(host) or is_public_address(address) or self._is_in_networks(address)):
            _refuse("Its host is not on the public internet")

    def _checked(self, url: str) -> Destination:
        if len(url) > MAX_URL_LENGTH:
            _refuse(f"It is longer than {MAX_URL_LENGTH} characters")
        if re.search(r"[\x00-\x20\x7f\\]", url):
            _refuse("It contains a space, a control character or a backslash")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            _refuse("It cannot be read")
        if parts.scheme not in _DEFAULT_PORTS or not url[len(parts.scheme) :].startswith("://"):
            _refuse("It must begin with https://")
        if "@" in parts.netloc:
            _refuse("It must not contain a user name or a password")
        host = _normal_host(host)
        port = _DEFAULT_PORTS[parts.scheme] if port is None else port
        if not self._is_listed(host):
            self._check_public(parts.scheme, host, port)
        path = quote(parts.path or "/", safe=_PATH_CHARACTERS)
        query = f"?{quote(parts.query, safe=_PATH_CHARACTERS)}" if parts.query else ""
        return Destination(parts.scheme, host, port, path + query)

    def _check_public(self, scheme: str, host: str, port: int) -> None:
        address = _address(host)
        if address is not None and self._is_in_networks(host):
            return
        if scheme != "https":
            _refuse("It must begin with https://")
        if address is None:
            is_local = any(f".{host}".endswith(f".{name}") for name in _LOCAL_NAMES)
            if is_local or "." not in host:
                _refuse("Its host is not on the public internet")
        elif not is_public_address(address):
            _refuse("Its host is not on the public internet")
        if port not in _PUBLIC_PORTS:
            _refuse(f"Its port is {port}; it must be {' or '.join(map(str, _PUBLIC_PORTS))}")

    def _is_listed(self, host: str) -> bool:
        return host in self.hosts

    def _is_in_networks(self, text: str) -> bool:
        address = _address(text)
        if isinstance(address, IPv6Address):
            address = embedded_address(address) or address
        return address is not None and any(address in network for network in self.networks)


def _normal_host(host: str) -> str:
    """Returns the host in ASCII and lower case, without a final dot. Raises UrlNotAllowed for what is neither
    a name nor an address in its usual form: libraries read `0x7f.1` and `2130706433` as addresses."""
    if ":" in host:
        address = _address(host)
        if address is None or "%" in host:
            _refuse("Its host is not a valid address")
        return str(address)
    try:
        name = idna.encode(host, uts46=True, transitional=False).decode() if not host.isascii() else host
    except idna.IDNAError:
        _refuse("Its host is not a valid name")
    name = name.lower().removesuffix(".")
    if len(name) > 253 or not _NAME.fullmatch(name):
        _refuse("Its host is not a valid name")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", name.rpartition(".")[2]) and _address(name) is None:
        _refuse("Its host is not a valid address")
    return name


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _refuse(reason: str) -> NoReturn:
    raise UrlNotAllowed(f"This URL cannot be called. {reason}.")
