# SPDX-License-Identifier: Apache-2.0
"""What an identity card signs to act in its holder's data space: one text, made by the program that has the card.

It names the registrar's service that is asked, the page that asked, the service's nonce, and the act whole: so a
signature serves once, for this act, with this service. Looking takes the key in slot 9A, whatever changes something the
one in slot 9C, with its PIN each time. The text begins with words that no other signature of ours begins with.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chain import strict_json
from chain.errors import InvalidMessage
from chain.strict_json import Json
from identity.cards.objects import Slot

ACT_BYTES_MAX: Final = 8 * 1024
"""A request of 2,000 characters in JSON; a compartment is handled with the wallet."""
DEPTH_MAX: Final = 4
LOOKING: Final = frozenset({"overview", "export"})
"""Acts that change nothing."""
_WORDS: Final = b"zhixin/data-space/1\x00"


@dataclass(frozen=True, slots=True)
class SpaceMessage:
    """One act, as a card signs it.

    Attributes:
        audience: Origin of the registrar's service.
        origin: Of the page that asked, as the browser named it to the card's program.
        nonce: The service's.
        act: The act, as it is sent.
        guid: The card's, 16 bytes.
        time_ms: By the clock of the machine that has the card; Unix time.
    """

    audience: str
    origin: str
    nonce: str
    act: str
    guid: bytes
    time_ms: int

    @property
    def slot(self) -> Slot:
        """Whose key signs it.

        Raises:
            InvalidMessage: The act is no JSON object that says what it does.
        """
        return Slot.AUTHENTICATE if str(parse_act(self.act)["do"]) in LOOKING else Slot.SIGN

    def encode(self) -> bytes:
        """What is signed, by ECDSA with SHA-256."""
        return _WORDS + strict_json.canonical(
            {
                "act": self.act,
                "audience": self.audience,
                "guid": self.guid.hex(),
                "nonce": self.nonce,
                "origin": self.origin,
                "time_ms": self.time_ms,
            }
        )


def parse_act(text: str) -> dict[str, Json]:
    """An act that a card may sign.

    Raises:
        InvalidMessage: It is no JSON object with `do`, or too long.
    """
    found = strict_json.parse(text.encode(), size_max=ACT_BYTES_MAX, depth_max=DEPTH_MAX)
    if not isinstance(found, dict) or not isinstance(found.get("do"), str):
        raise InvalidMessage("an act of the data space is a JSON object that says in do what it is")
    return found


def lines_of(act: Mapping[str, Json]) -> list[tuple[str, str]]:
    """An act's fields for a person to read, what it does first."""
    rest = sorted((name, value) for name, value in act.items() if name != "do")
    shown = [(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) for name, value in rest]
    return [("do", str(act["do"])), *shown]
