# SPDX-License-Identifier: Apache-2.0
"""Notices to people: an outbox in the private store, and a gateway that delivers what waits in it.

A service declares what it tells people of (`NoticeKind`, `add_kind`) and calls `put` in the transaction that does what
the notice is about, so that one is not without the other. `notices_part` delivers: each notice **at least once**, under
an id that stays the same however often it is tried, so that mail servers and gateways can drop a second one.

No notice has a link, a name or a number in it, and no log an address: who tells people apart is the store alone.
"""

from service.notices.kinds import NoticeKind, add_kind
from service.notices.outbox import put
from service.notices.part import notices_part
from service.notices.providers import Message, NotTaken, Provider

__all__ = ["Message", "NotTaken", "NoticeKind", "Provider", "add_kind", "notices_part", "put"]
