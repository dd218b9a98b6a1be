# SPDX-License-Identifier: Apache-2.0
"""What the ledger says of the organisation that officers work for, proven; and how officers' keys become its own.

A role of the organisation (`membership`) and a role within it (`service.sign_in.roles`) are both needed: the first is
the ledger's affair and read here, the second the service's own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chain.signing import Scheme, Signer
from chain.transaction import Operation
from client.answers import ProvenState
from membership.pb import membership_pb2 as pb
from membership.state import Key, Organisation, load_key, load_organisation, organisation_key, signer_key
from service.language import LANGUAGES, Language, translate
from service.sign_in.key_request import registration

AGE_MS_MAX = 30_000
"""How old the checkpoint of an answer may be. An idle network makes one each second; clocks differ by seconds."""
_CARD_PREFIX = "card:"
_KEY = re.compile(r"0[23][0-9a-f]{64}")


class Reads(Protocol):
    """What is needed of a client of the ledger; `client.session.Session` is one."""

    async def read_many(self, keys: Sequence[bytes], *, age_ms_max: int) -> list[ProvenState]:
        """State keys under one checkpoint that is no older, in the order asked."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands on the ledger at one certified height.

    Attributes:
        organisation: None: there is none of that id.
        key: The key's record; None: it was never registered.
        time_ms: The checkpoint's time.
    """

    organisation: Organisation | None
    key: Key | None
    time_ms: int

    def has_role(self, role: str) -> bool:
        """Whether the organisation is an active member and has a role; "" asks for none."""
        found = self.organisation
        return found is not None and found.is_active and (not role or role in found.roles)

    def is_key_usable(self) -> bool:
        """Whether the key signs for this organisation now."""
        if self.organisation is None or self.key is None or not self.organisation.is_active:
            return False
        return self.key.organisation == self.organisation.id and self.key.is_usable(self.time_ms)

    def is_governing(self) -> bool:
        """Whether the key governs this organisation now."""
        return self.key is not None and self.is_key_usable() and pb.PURPOSE_GOVERN in self.key.purposes


def officer_key_text(officer: Signer) -> str:
    """An officer's key as commands take it: 66 hex digits for a passkey, `card:` before them for a card's."""
    return f"{_CARD_PREFIX if officer.scheme is Scheme.P256 else ''}{officer.public_key.hex()}"


def parse_officer_key(text: str) -> Signer | None:
    """What `officer_key_text` wrote; None: it is no such key."""
    digits = text.removeprefix(_CARD_PREFIX)
    if not _KEY.fullmatch(digits):
        return None
    return Signer(Scheme.WEBAUTHN_ES256 if digits == text else Scheme.P256, bytes.fromhex(digits))


async def read_standing(reads: Reads, organisation: str, signer: Signer) -> Standing:
    """Read an organisation and a key under one checkpoint, with proof.

    Raises:
        TransportError: No node gives an answer that verifies and is fresh.
        LedgerError: An answer does not verify.
    """
    keys = [organisation_key(organisation), signer_key(signer)]
    states = await reads.read_many(keys, age_ms_max=AGE_MS_MAX)
    found = {state.key: state.value for state in states}
    return Standing(
        load_organisation(found.get, organisation),
        load_key(found.get, signer),
        states[0].checkpoint.time_ms,
    )


def register_key(organisation: str, officer: Signer) -> tuple[list[Operation], dict[Language, list[str]]]:
    """The act by which a passkey or card becomes a key of an organisation: what goes on the ledger, and its words.

    A governing key of the organisation signs it beside the officer.
    """
    becomes = "act.register-card-1" if officer.scheme is Scheme.P256 else "act.register-key-1"
    words = {
        language: [
            translate(language, becomes, organisation=organisation),
            translate(language, "act.register-key-2"),
        ]
        for language in LANGUAGES
    }
    return [registration(officer)], words
