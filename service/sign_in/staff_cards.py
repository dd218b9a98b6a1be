# SPDX-License-Identifier: Apache-2.0
"""What a service needs to know of staff cards: where the card's agent answers, and which certificates count.

Who reads certificates stands above this package: `cli.staff_cards` hands a check in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

CERTIFICATE_BYTES_MAX = 3072
"""What a card's container holds; ours have below 900."""


class CardUnfit(Exception):
    """A card's certificates do not count here; the reason is for the log alone."""


@dataclass(frozen=True, slots=True)
class CardKeys:
    """What two certificates say.

    Attributes:
        authenticate: Public key in slot 9A, 33 bytes.
        sign: Public key in slot 9C, 33 bytes.
        expires_ms: Until when both hold; Unix time.
    """

    authenticate: bytes
    sign: bytes
    expires_ms: int


CardCheck: TypeAlias = Callable[[bytes, bytes, int], CardKeys]
"""From the certificates in slots 9A and 9C (DER) and the time (Unix, ms); raises `CardUnfit`."""


@dataclass(frozen=True, slots=True)
class StaffCards:
    """Staff cards of one service.

    Attributes:
        agent: Origin of the agent on each officer's own machine, such as "http://127.0.0.1:8820".
        check: Reads certificates.
    """

    agent: str
    check: CardCheck
