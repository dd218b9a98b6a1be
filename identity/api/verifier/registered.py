# SPDX-License-Identifier: Apache-2.0
"""What the verifier asks of the ledger about a relying party, and where it writes that somebody looked.

Both are narrow on purpose: the rules behind them are the ledger's. Without a `Directory` nothing is asked of anybody;
without a `Recorder` no answer that discloses data is given, for an answer without its access entry is no evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

ACCESS_SLOT: Final = "access_slot"
"""The claim in which a person's own list of accesses begins. The verifier reads it; no answer holds it."""
PAIRWISE_SEED: Final = "pairwise_seed"
"""The claim of which pseudonyms are made; likewise."""
VERIFIER_CLAIMS: Final = frozenset({ACCESS_SLOT, PAIRWISE_SEED})
"""Asked for by the verifier for itself. No purpose allows them, so no relying party gets them."""


class NotRegistered(Exception):
    """There is no such relying party or purpose, or it does not count now.

    Attributes:
        reason: Which, for the relying party; English.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Purpose:
    """For what a relying party may ask, as two roles approved it on the ledger.

    Attributes:
        relying_party: Its organisation's id on the ledger.
        id: The purpose's number on the ledger, 1 to 65,535.
        name_zh: Of the relying party, as citizens see it.
        name_en: The same.
        legal_basis: By which law or contract.
        attributes: By type of credential, the claims at its top that may be asked for; a type that is missing may not
            be asked for at all.
        is_emergency: Whether an answer may be given while the ledger can't be reached, its entry queued.
        status_age_s_max: How old a status list may be; None: an older one is used, and the answer says its age.
        per_second_max: Requests a second.
        valid_to_ms: From when it counts no longer, Unix time in ms.
        receipt: Proves the registration: bytes of a `Receipt`; empty in a sandbox.
        about_zh: What it is for, as citizens are told; "" if the registration says it in English alone.
        about_en: The same.
        needs_consent: Whether an answer rests on the person's consent, which the ledger has.
        version: Of the registered terms, to which a consent was given; 0 in a sandbox.
    """

    relying_party: str
    id: int
    name_zh: str
    name_en: str
    legal_basis: str
    attributes: Mapping[str, frozenset[str]]
    is_emergency: bool
    status_age_s_max: int | None
    per_second_max: int
    valid_to_ms: int
    receipt: bytes = field(default=b"", repr=False)
    about_zh: str = ""
    about_en: str = ""
    needs_consent: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True)
class Access:
    """That somebody looked: what an access entry commits to.

    Attributes:
        id: Of the verification, so that one that is written twice stands once; 32 hex digits.
        slot: Where the person's own list begins, as their credential says it.
        relying_party: Who looked.
        purpose: For what.
        attributes: What was disclosed: type of credential and claim ("natural-person/birthdate"), sorted; no values.
        at_ms: When, Unix time in ms.
        is_emergency: Whether the answer went out before this entry.
    """

    id: str
    slot: str
    relying_party: str
    purpose: int
    attributes: tuple[str, ...]
    at_ms: int
    is_emergency: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where an access entry stands; the verifier keeps it sealed, since the slot leads to the person's list.

    Attributes:
        slot: The state key or slot that was written.
        receipt: Proves it: bytes of a `Receipt`.
    """

    slot: bytes
    receipt: bytes


class Directory(Protocol):
    """Knows relying parties."""

    async def purpose(self, relying_party: str, purpose: int) -> Purpose:
        """A purpose that counts now.

        Raises:
            NotRegistered: There is none.
            TransportError: Nobody answers for the ledger.
            LedgerError: What was answered is not proven.
        """
        ...


class Recorder(Protocol):
    """Writes access entries."""

    async def record(self, access: Access) -> Recorded:
        """Write an entry, and return once the ledger has it; the same one again changes nothing.

        Raises:
            TransportError: Nothing is known of it yet; try again.
            LedgerError: The ledger refuses it.
        """
        ...
