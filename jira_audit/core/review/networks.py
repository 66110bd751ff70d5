"""Networks: where events came from. An address changes within its network; those count. Pure."""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address, ip_network

_PRIVATE = tuple(
    ip_network(each)
    for each in (
        "10.0.0.0/8",  # Atlassian's own services, too
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
"""https://www.iana.org/assignments/iana-ipv4-special-registry, without the ranges that
documentation uses: examples should look like the real thing."""


def first_address(addresses: str) -> str:
    """The first of a list that proxies have made; empty without one."""
    return addresses.partition(",")[0].strip()


@cache
def network_of(address: str) -> str:
    """An address's network, /24 or /64; what is no address stands for itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    bits = 24 if parsed.version == 4 else 64
    return str(ip_network((parsed, bits), strict=False))


@cache
def is_private(network: str) -> bool:
    """Whether a network is nobody's in particular."""
    try:
        parsed = ip_network(network)
    except ValueError:
        return False
    return any(
        parsed.version == each.version and parsed.network_address in each for each in _PRIVATE
    )
