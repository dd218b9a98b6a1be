# SPDX-License-Identifier: Apache-2.0
"""What the desk tells people of: each kind of notice with its words. None names a person, a number or a link."""

from pathlib import Path
from typing import Final

from service.language import add_messages
from service.notices import NoticeKind, add_kind
from service.notices.outbox import DAY_MS

add_messages(Path(__file__).parent / "messages" / "notices")

LOOKED_AT: Final = add_kind(
    NoticeKind("looked-at", "told.looked-at", "told.looked-at-text", is_urgent=False, every_ms=DAY_MS)
)
"""Who looks often makes one notice a day; the list of accesses has each look."""
LOOKED_AT_LATER: Final = add_kind(
    NoticeKind("looked-at-later", "told.looked-at", "told.looked-at-text", is_urgent=False, every_ms=DAY_MS)
)
"""Of an investigation, when the person may see it; apart, so that it neither hides another look nor shows by it."""
ANSWERED: Final = add_kind(
    NoticeKind("answered", "told.answered", "told.answered-text", is_urgent=False, every_ms=DAY_MS)
)
"""A relying party got an answer; the list of accesses has each."""

KINDS: Final = {
    kind.name: add_kind(kind)
    for kind in (
        NoticeKind("enrol-approved", "told.enrolled", "told.enrolled-text"),
        NoticeKind("change-approved", "told.changed", "told.changed-text"),
        NoticeKind("suspend", "told.suspended", "told.suspended-text"),
        NoticeKind("reinstate", "told.reinstated", "told.reinstated-text"),
        NoticeKind("revoke", "told.revoked", "told.revoked-text"),
        NoticeKind("deceased", "told.deceased", "told.deceased-text"),
        NoticeKind("recover", "told.recovered", "told.recovered-text"),
        NoticeKind("erasure-waits", "told.erasure", "told.erasure-text"),
        NoticeKind("card-suspended", "told.card-suspended", "told.card-suspended-text"),
        NoticeKind("card-handed-over", "told.card-handed-over", "told.card-handed-over-text"),
        NoticeKind("declaration-declined", "told.declined", "told.declined-text", is_urgent=False),
        NoticeKind("compartment-changed", "told.compartment", "told.compartment-text"),
    )
}
SUBJECT_KEYS: Final = {kind.name: kind.subject for kind in (*KINDS.values(), LOOKED_AT, LOOKED_AT_LATER, ANSWERED)}
"""What each notice was about, for pages."""
