# SPDX-License-Identifier: Apache-2.0
"""Commands and responses of any length over short APDUs: chaining one way, GET RESPONSE the other.

Source: ISO/IEC 7816-4, 5.3.3 (chaining) and 11.8.1 (GET RESPONSE); NIST SP 800-73-5 part 2, section 2.
"""

from typing import Final, NamedTuple

from identity.cards.card import RESPONSE_BYTES_MAX, Card, InvalidResponse
from identity.cards.objects import OBJECT_BYTES_MAX

CHUNK_BYTES: Final = 255
"""Data of one short command."""
CHAINED: Final = 0x10
"""In CLA: more of this command follows."""
COMMAND_BYTES_MAX: Final = OBJECT_BYTES_MAX + 32
"""Data of one chained command: an object with its tag and lengths."""
ANSWER_BYTES_MAX: Final = 4096
"""Data of one whole response; an object with its lengths has less."""

SUCCESS: Final = 0x9000
GET_RESPONSE: Final = 0xC0


class Instruction:
    """Commands of a PIV card."""

    VERIFY: Final = 0x20
    CHANGE_REFERENCE: Final = 0x24
    RESET_RETRY: Final = 0x2C
    GENERATE: Final = 0x47
    AUTHENTICATE: Final = 0x87
    SELECT: Final = 0xA4
    GET_DATA: Final = 0xCB
    PUT_DATA: Final = 0xDB
    SET_MANAGEMENT_KEY: Final = 0xFF
    """Not in the standard, which leaves it to vendors; this is Yubico's."""


class Answer(NamedTuple):
    """A whole response."""

    data: bytes
    status: int


def exchange(card: Card, instruction: int, p1: int, p2: int, data: bytes = b"", *, expects: bool = False) -> Answer:
    """Send one command, in as many parts as it takes, and collect the whole response.

    Args:
        card: Where to.
        instruction: Which command.
        p1: First parameter.
        p2: Second parameter.
        data: At most COMMAND_BYTES_MAX.
        expects: Whether the command asks for data.

    Raises:
        InvalidResponse: The card answers with more than any object has, or with no status word.
        CardError: Card or reader is gone.
    """
    assert len(data) <= COMMAND_BYTES_MAX, "callers bound what they send"
    parts = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)] or [b""]
    for part in parts[:-1]:
        answer = _send(card, bytes([CHAINED, instruction, p1, p2, len(part)]) + part)
        if answer.status != SUCCESS:
            return answer
    last = parts[-1]
    command = bytes([0, instruction, p1, p2]) + (bytes([len(last)]) + last if last else b"")
    answer = _send(card, command + (b"\x00" if expects else b""))
    if answer.status >> 8 == 0x6C:  # the card names the length that it wants to be asked for
        answer = _send(card, command + bytes([answer.status & 0xFF]))
    collected = answer.data
    while answer.status >> 8 == 0x61:
        answer = _send(card, bytes([0, GET_RESPONSE, 0, 0, answer.status & 0xFF]))
        collected += answer.data
        if len(collected) > ANSWER_BYTES_MAX or (not answer.data and answer.status >> 8 == 0x61):
            raise InvalidResponse(f"the card keeps on answering, over {ANSWER_BYTES_MAX} bytes or with nothing")
    return Answer(collected, answer.status)


def _send(card: Card, command: bytes) -> Answer:
    raw = card.transmit(command)
    if not 2 <= len(raw) <= RESPONSE_BYTES_MAX:
        raise InvalidResponse(f"a response of {len(raw)} bytes is none; clean the card's contacts and try again")
    return Answer(raw[:-2], int.from_bytes(raw[-2:], "big"))
