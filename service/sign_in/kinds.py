# SPDX-License-Identifier: Apache-2.0
"""The ways in which sign-in refuses. Who is unknown, forged or removed learns no difference."""

from pathlib import Path

from service.language import add_messages
from service.problems import ProblemKind

add_messages(Path(__file__).parent.parent / "messages" / "sign-in")

NEEDED = ProblemKind("sign-in.needed", 401)
REFUSED = ProblemKind("sign-in.refused", 401)
CHALLENGE = ProblemKind("sign-in.challenge", 409)
CONFIRM = ProblemKind("sign-in.confirm", 403)
SLOW_DOWN = ProblemKind("sign-in.slow-down", 429)
NOT_ALLOWED = ProblemKind("role.not-allowed", 403)
SAME_PERSON = ProblemKind("role.same-person", 409)
LINK = ProblemKind("invitation.invalid", 410)
NOT_ONESELF = ProblemKind("people.not-oneself", 409)
UNKNOWN = ProblemKind("people.unknown", 404)
PASSKEY_UNFIT = ProblemKind("passkey.unfit", 422)
CARDS_OFF = ProblemKind("card.off", 409)
CARD_UNFIT = ProblemKind("card.unfit", 422)
CARD_CLOCK = ProblemKind("card.clock", 409)
CARD_EXPIRED = ProblemKind("card.expired", 403)
LAST_PASSKEY = ProblemKind("passkey.last", 409)
TOO_MANY = ProblemKind("sign-in.too-many", 409)
ALTERED = ProblemKind("act.altered", 409)
ACT_EXPIRED = ProblemKind("act.expired", 410)
ACT_SIGNATURE = ProblemKind("act.signature", 422)
OTHER_PASSKEY = ProblemKind("act.other-passkey", 409)
UNANSWERED = ProblemKind("act.unanswered", 409)
ANSWER_UNFIT = ProblemKind("act.answer-unfit", 422)
ANSWER_FOREIGN = ProblemKind("act.answer-foreign", 409)
NOT_GOVERNING = ProblemKind("act.not-governing", 409)
KEY_SPENT = ProblemKind("act.key-spent", 409)
STANDING_ORGANISATION = ProblemKind("standing.organisation", 403)
STANDING_KEY = ProblemKind("standing.key", 403)
STANDING_UNKNOWN = ProblemKind("standing.unknown", 503)

SIGN_IN_KINDS: tuple[ProblemKind, ...] = (
    NEEDED,
    REFUSED,
    CHALLENGE,
    CONFIRM,
    SLOW_DOWN,
    NOT_ALLOWED,
    SAME_PERSON,
    LINK,
    NOT_ONESELF,
    UNKNOWN,
    PASSKEY_UNFIT,
    CARDS_OFF,
    CARD_UNFIT,
    CARD_CLOCK,
    CARD_EXPIRED,
    LAST_PASSKEY,
    TOO_MANY,
    ALTERED,
    ACT_EXPIRED,
    ACT_SIGNATURE,
    OTHER_PASSKEY,
    UNANSWERED,
    ANSWER_UNFIT,
    ANSWER_FOREIGN,
    NOT_GOVERNING,
    KEY_SPENT,
    STANDING_ORGANISATION,
    STANDING_KEY,
    STANDING_UNKNOWN,
)
