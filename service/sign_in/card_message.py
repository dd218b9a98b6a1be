# SPDX-License-Identifier: Apache-2.0
"""What a staff card signs to sign in, to confirm, and to be enrolled: texts that the card's agent makes by itself.

The agent never signs bytes that a page hands it with slot 9A: it writes down for what, for which origin, which nonce,
when, and with which card, and signs that. Acts are transactions, signed with slot 9C as `chain` has it. Each kind of
text begins with words of its own that no other signature of Zhixin begins with, so none can stand in for another.
"""

from dataclasses import dataclass
from enum import StrEnum

from chain import strict_json
from chain.signing import PUBLIC_KEY_BYTES, Scheme

NONCE_BYTES = 32
ORIGIN_CHARACTERS_MAX = 300
"""A host's name has at most 253."""
_LOGIN = b"zhixin/staff-card/1\x00"
_POSSESSION = b"zhixin/staff-card-possession/1\x00"


class CardPurpose(StrEnum):
    """What a card's signature with slot 9A is good for."""

    SIGN_IN = "sign-in"
    CONFIRM = "confirm"
    JOIN = "join"
    ADD = "add"

    @property
    def is_enrolment(self) -> bool:
        """Whether a card becomes somebody's, so that the key in slot 9C has to show itself, too."""
        return self in {CardPurpose.JOIN, CardPurpose.ADD}


@dataclass(frozen=True, slots=True)
class CardMessage:
    """One statement of a card.

    Attributes:
        purpose: What it is good for.
        origin: For which service: the origin that the browser named to the agent.
        nonce: The service's challenge, 32 bytes.
        time_ms: When the agent made it, by its own clock; Unix time.
        authenticate: Public key in slot 9A, 33 bytes.
        sign: Public key in slot 9C, 33 bytes: one card speaks, not parts of two.
    """

    purpose: CardPurpose
    origin: str
    nonce: bytes
    time_ms: int
    authenticate: bytes
    sign: bytes

    def login(self) -> bytes:
        """What slot 9A signs."""
        return _LOGIN + self._fields()

    def possession(self) -> bytes:
        """What slot 9C signs beside it when a card is enrolled; it does nothing else, and is no act."""
        assert self.purpose.is_enrolment, "slot 9C signs acts, and shows itself once"
        return _POSSESSION + self._fields()

    def _fields(self) -> bytes:
        assert len(self.nonce) == NONCE_BYTES, "a nonce has 32 bytes"
        length = PUBLIC_KEY_BYTES[Scheme.P256]
        assert len(self.authenticate) == len(self.sign) == length, "keys are compressed P-256"
        return strict_json.canonical(
            {
                "purpose": str(self.purpose),
                "origin": self.origin,
                "nonce": self.nonce.hex(),
                "time_ms": self.time_ms,
                "authenticate": self.authenticate.hex(),
                "sign": self.sign.hex(),
            }
        )
