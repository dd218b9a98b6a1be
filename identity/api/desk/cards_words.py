# SPDX-License-Identifier: Apache-2.0
"""Words of cards that depend on a value, each key named as a literal."""

from identity.api.desk.cards import Reason
from identity.api.desk.cards_life import CardState
from identity.api.desk.details import Method

STATE_KEYS = {
    CardState.REQUESTED: ("info", "card.requested"),
    CardState.PERSONALISED: ("info", "card.personalised"),
    CardState.BOUND: ("info", "card.bound"),
    CardState.PRINTED: ("info", "card.printed"),
    CardState.HANDED_OVER: ("warn", "card.handed-over"),
    CardState.ACTIVE: ("good", "card.active"),
    CardState.SUSPENDED: ("warn", "card.suspended"),
    CardState.REPLACED: ("plain", "card.replaced"),
    CardState.REVOKED: ("bad", "card.revoked"),
    CardState.EXPIRED: ("plain", "card.expired"),
    CardState.FAILED: ("plain", "card.failed"),
    CardState.CANCELLED: ("plain", "card.cancelled"),
    CardState.DESTROYED: ("plain", "card.destroyed"),
}
"""Sign and word of each state."""
REASON_KEYS = {
    Reason.FIRST: "card.reason-first",
    Reason.LOST: "card.reason-lost",
    Reason.DAMAGED: "card.reason-damaged",
    Reason.NAME_CHANGED: "card.reason-name-changed",
    Reason.EXPIRING: "card.reason-expiring",
}
METHOD_KEYS = {
    Method.CHIP: "card.method-chip",
    Method.INSPECTED: "card.method-inspected",
    Method.VOUCHED: "card.method-vouched",
}
EVENT_KEYS = {
    "request": "card.event-request",
    "begin": "card.event-begin",
    "personalise": "card.event-personalise",
    "fail": "card.event-fail",
    "cancel": "card.event-cancel",
    "propose": "card.event-propose",
    "confirm": "card.event-confirm",
    "withdraw": "card.event-withdraw",
    "bind": "card.event-bind",
    "print": "card.event-print",
    "hand-over": "card.event-hand-over",
    "activate": "card.event-activate",
    "suspend": "card.event-suspend",
    "phone": "card.event-phone",
    "reinstate": "card.event-reinstate",
    "supersede": "card.event-supersede",
    "replace": "card.event-replace",
    "revoke": "card.event-revoke",
    "expire": "card.event-expire",
    "destroy": "card.event-destroy",
    "offer": "card.event-offer",
}
WAY = (
    ((CardState.REQUESTED,), "card.way-personalise"),
    ((CardState.PERSONALISED,), "card.way-bind"),
    ((CardState.BOUND,), "card.way-print"),
    ((CardState.PRINTED, CardState.HANDED_OVER), "card.way-hand-over"),
)
"""The steps to a card in its holder's hand."""
