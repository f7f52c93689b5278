"""Decides which addresses belong to the public internet."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC_V4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; some clouds' metadata services
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform services
        "169.254.0.0/16",  # link-local; most clouds' metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
]
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, among them Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
]
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public_address(address: str | Address) -> bool:
    """Whether a host with this address is on the public internet.

    False for private, local, reserved and multicast addresses, for cloud metadata services, for addresses
    with a zone, and for text that is not an address. An IPv4 address in an IPv6 one (mapped, or NAT64's
    well-known prefix) counts as itself. Tunnels (6to4, Teredo, ISATAP) and NAT64's local prefix are not
    public: what is behind them cannot be known. Stricter than `ipaddress.is_global`, which admits multicast
    and most of these forms. Source: IANA's special-purpose address registries (RFC 6890)."""
    if isinstance(address, str):
        try:
            address = ip_address(address)
        except ValueError:
            return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.scope_id is not None:
        return False
    if (embedded := embedded_address(address)) is not None:
        return is_public_address(embedded)
    return (
        address in _GLOBAL_UNICAST
        and not any(address in network for network in _NOT_PUBLIC_V6)
        and not _is_isatap(address)
    )


def embedded_address(address: IPv6Address) -> IPv4Address | None:
    """Returns the IPv4 address that packets to this address reach: that of a mapped address
    (`::ffff:a.b.c.d`) or of one under NAT64's well-known prefix (RFC 6052)."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


def _is_isatap(address: IPv6Address) -> bool:
    """Whether the last 64 bits are 0000:5efe or 0200:5efe and an IPv4 address (RFC 5214)."""
    return (int(address) >> 32 & 0xFDFF_FFFF) == 0x0000_5EFE
