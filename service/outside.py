# SPDX-License-Identifier: Apache-2.0
"""Which addresses are of the public internet: what services may ask or send to where others named the address.

Source: CWE-918; RFC 6890 (special-purpose addresses); RFC 6052 and RFC 8215 (addresses with others inside).
"""

import ipaddress
from typing import Final

_HIDING: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible, deprecated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 of one's own network
    )
)


def unmapped(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address as it is reached: an IPv4 address that is written as IPv6 is that IPv4 address.

    Args:
        address: As a resolver gives it, with a zone or without.

    Returns:
        None: It is none, or one with another inside that a network of our own may unpack.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed
    if parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    is_plain_inside = parsed.is_loopback or parsed.is_unspecified
    if parsed.sixtofour is not None or parsed.teredo is not None:
        return None
    if not is_plain_inside and any(parsed in network for network in _HIDING):
        return None
    return parsed


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet.

    Args:
        address: As a resolver gives it; what is no address is not public.
    """
    parsed = unmapped(address)
    if parsed is None or not parsed.is_global or parsed.is_multicast or parsed.is_reserved:
        return False
    return not (isinstance(parsed, ipaddress.IPv6Address) and parsed.is_site_local)
