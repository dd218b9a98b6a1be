# SPDX-License-Identifier: Apache-2.0
"""From what a request tells of the device that sent it: a family of browsers, and a part of the network.

Neither proves anything: who copies a cookie can copy the rest. A browser does not change its family, so another one
ends the session; people do change networks, so another one only asks for the passkey again, which a thief lacks.
"""

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass

from starlette.requests import HTTPConnection

USER_AGENT_CHARACTERS_MAX = 512
"""What is looked at; browsers send some 150."""

_BROWSERS = (
    ("Edge", re.compile(r"\bEdgA?/")),
    ("Opera", re.compile(r"\bOPR/")),
    ("WeChat", re.compile(r"\bMicroMessenger/")),
    ("Firefox", re.compile(r"\b(Firefox|FxiOS)/")),
    ("Chrome", re.compile(r"\b(Headless)?Chrom(e|ium)/|\bCriOS/")),
    ("Safari", re.compile(r"\bSafari/")),
)
_SYSTEMS = (
    ("HarmonyOS", re.compile(r"HarmonyOS|OpenHarmony")),
    ("Android", re.compile(r"\bAndroid\b")),
    ("iOS", re.compile(r"\b(iPhone|iPad|iPod)\b")),
    ("Windows", re.compile(r"\bWindows\b")),
    ("macOS", re.compile(r"\bMac OS X\b|\bMacintosh\b")),
    ("Linux", re.compile(r"\bLinux\b|\bX11\b")),
)


@dataclass(frozen=True, slots=True)
class Device:
    """What a request tells.

    Attributes:
        words: Browser and system, such as "Firefox, Windows"; product names, the same in each language.
        network: The address's /24 (IPv4) or /48 (IPv6).
    """

    words: str
    network: str

    def keyed(self, token: str) -> tuple[bytes, bytes]:
        """Digests of both that only who holds the token can make: the store keeps no address; 32 bytes each."""
        key = token.encode()
        agent = hmac.digest(key, self.words.encode(), hashlib.sha256)
        return agent, hmac.digest(key, self.network.encode(), hashlib.sha256)


def device_of(connection: HTTPConnection) -> Device:
    """What a request tells of its device."""
    text = connection.headers.get("user-agent", "")[:USER_AGENT_CHARACTERS_MAX]
    browser = next((name for name, pattern in _BROWSERS if pattern.search(text)), "?")
    system = next((name for name, pattern in _SYSTEMS if pattern.search(text)), "?")
    return Device(f"{browser}, {system}", _network(connection.client.host if connection.client else ""))


def _network(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    bits = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, bits), strict=False))
