# SPDX-License-Identifier: Apache-2.0
"""Token buckets in a bounded table: how often one caller may come.

Not for several processes together: each counts what reaches it. When the table is full, the bucket that was used
least lately is forgotten, which gives its caller a full one; an attacker with that many addresses gains no more than
the addresses give him anyway.
"""

import ipaddress
from collections import OrderedDict


class Buckets:
    """One token bucket for each caller.

    Args:
        per_second: Tokens that come back each second.
        burst: Tokens of a full bucket; at least 1.
        callers_max: Buckets that are remembered.
    """

    def __init__(self, per_second: int, burst: int, callers_max: int) -> None:
        assert per_second >= 1
        assert burst >= 1
        assert callers_max >= 1
        self._per_second = per_second
        self._burst_ms = burst * 1000
        self._callers_max = callers_max
        self._buckets: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, caller: str, now_ms: int) -> int:
        """Take one token.

        Args:
            caller: Whose bucket.
            now_ms: A clock that never goes back.

        Returns:
            0 if there was one; else the seconds after which there is one again, at least 1.
        """
        level, seen_ms = self._buckets.pop(caller, (self._burst_ms, now_ms))
        level = min(self._burst_ms, level + max(0, now_ms - seen_ms) * self._per_second)
        taken = level >= 1000
        if taken:
            level -= 1000
        self._buckets[caller] = (level, now_ms)
        if len(self._buckets) > self._callers_max:
            self._buckets.popitem(last=False)
        return 0 if taken else max(1, -(-(1000 - level) // (self._per_second * 1000)))


def caller_of(address: str) -> str:
    """Under which name an address is counted: an IPv6 customer has a /64 of addresses, and is one caller."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
