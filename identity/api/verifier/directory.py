# SPDX-License-Identifier: Apache-2.0
"""Relying parties as the ledger has them, remembered for some seconds.

So long a purpose that two officers withdrew may still be asked for; wallets look by themselves.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

from chain.errors import LedgerError
from identity.api.verifier.ledger import REMEMBERED_MAX, REMEMBERED_MS, Proven, States
from identity.api.verifier.registered import VERIFIER_CLAIMS, NotRegistered, Purpose
from identity.pb import identity_pb2 as pb
from identity.relying import claims_of, find_purpose, refused_at, signs_for
from identity.relying_rules import load_relying_party, relying_party_key
from membership.names import check_organisation_id
from membership.state import load_organisation, organisation_key


class LedgerDirectory:
    """Reads registrations with proof."""

    def __init__(
        self,
        states: States,
        clock_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        signs_with: Callable[[], bytes] | None = None,
    ) -> None:
        """Take the ledger.

        Args:
            states: Reads it.
            clock_ms: Never goes back.
            signs_with: The key that signs this verifier's requests, 33 bytes: a registration names the keys that may
                ask in its name, and wallets look. None: that is not looked at.
        """
        self._signs_with = signs_with
        self._states = states
        self._clock_ms = clock_ms
        self._found: OrderedDict[str, tuple[int, Proven]] = OrderedDict()

    async def purpose(self, relying_party: str, purpose: int) -> Purpose:
        """See `registered.Directory.purpose`."""
        try:
            check_organisation_id(relying_party)
        except LedgerError as error:
            raise NotRegistered(error.reason) from None
        proven = await self._proven(relying_party)
        owner = load_organisation(proven.values.get, relying_party)
        if owner is None or not owner.is_active:
            raise NotRegistered("the organisation is no active member of the network")
        record = load_relying_party(proven.values.get, relying_party)
        refusal = refused_at(record, proven.time_ms)
        if refusal is not None:
            raise NotRegistered(refusal.reason)
        assert record is not None, "an absent one is refused"
        if self._signs_with is not None and not signs_for(record, self._signs_with(), proven.time_ms):
            raise NotRegistered("the registration does not name this verifier's signing key")
        found = find_purpose(record, purpose)
        if found is None:
            raise NotRegistered(f"the relying party has no purpose {purpose}")
        return _purpose(relying_party, owner.name_zh, owner.name_en, record, found, proven)

    async def _proven(self, relying_party: str) -> Proven:
        now_ms = self._clock_ms()
        kept = self._found.get(relying_party)
        if kept is not None and now_ms - kept[0] < REMEMBERED_MS:
            return kept[1]
        proven = await self._states.read([relying_party_key(relying_party), organisation_key(relying_party)])
        self._found[relying_party] = (now_ms, proven)
        self._found.move_to_end(relying_party)
        if len(self._found) > REMEMBERED_MAX:
            self._found.popitem(last=False)
        return proven


def _purpose(
    relying_party: str,
    name_zh: str,
    name_en: str,
    record: pb.RelyingPartyRecord,
    found: pb.RelyingPurpose,
    proven: Proven,
) -> Purpose:
    return Purpose(
        relying_party,
        found.number,
        name_zh,
        name_en,
        found.legal_basis,
        {vct: claims - VERIFIER_CLAIMS for vct, claims in claims_of(found).items()},
        is_emergency=found.emergency,
        status_age_s_max=found.status_age_s_max or None,
        per_second_max=found.per_second_max,
        valid_to_ms=record.terms.valid_to_ms,
        about_zh=found.name_zh,
        about_en=found.name_en,
        needs_consent=found.needs_consent,
        version=record.version,
        receipt=proven.together,  # who it is, and what it may ask: a wallet shows both
    )
