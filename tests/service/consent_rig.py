# SPDX-License-Identifier: Apache-2.0
"""A ledger on which consents are given and ended by its own rules, for tests of the verifier."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from google.protobuf.message import Message
from verifier_rig import BANK, LOGIN, Citizen, Office

from identity.api.verifier.findings import pairwise
from identity.api.verifier.ledger import Proven
from identity.api.verifier.verifier import Realm
from identity.commitments import anchor_of
from identity.consent_showing import make_claim, subject_of
from identity.consents import consent_commitment, encode_consent
from identity.pb import access_pb2
from identity.pb import identity_pb2 as pb
from sim.instant_ledger import InstantLedger
from tests.access_rig import VERIFIER, AccessRig

AGE, BIRTH = "natural-person/age_over_18", "natural-person/birthdate"


class Chain:
    """What the rules have made, in blocks that validators certify."""

    def __init__(self) -> None:
        self.rules = AccessRig()
        self.ledger = InstantLedger(("a", "b", "c", "d"), self.rules.time_ms)
        self.late_ms = 0
        self.error: Exception | None = None

    def do(self, *messages: Message) -> None:
        before = dict(self.rules.state)
        assert self.rules.code(VERIFIER, *messages) == ""
        after = self.rules.state
        self.ledger.append([], {key: after.get(key) for key in before | after if before.get(key) != after.get(key)})

    async def read(self, keys: Sequence[bytes], *, height: int = 0) -> Proven:
        if self.error is not None:
            raise self.error
        values = {key: self.ledger.tree.prove(key)[0] for key in keys}
        receipts = {key: self.ledger.receipt([], [key]) for key in keys}
        return Proven(height or 1, self.ledger.checkpoint.time_ms + self.late_ms, values, receipts)


class Consent:
    """One that a citizen gave, with all that opens and ends it."""

    def __init__(self, chain: Chain, citizen: Citizen, **changes: object) -> None:
        fields = {
            "organisation": BANK,
            "purpose": LOGIN,
            "version": 1,
            "attributes": [AGE, BIRTH],
            "given_at_ms": chain.rules.time_ms,
            "valid_to_day": chain.rules.today + 30,
            "subject": subject_of(pairwise(citizen.seed, BANK)),
        } | changes
        self.content = access_pb2.ConsentContent(**fields)
        self.salt, self.person, self.party = (secrets.token_bytes(32) for _ in range(3))

    @property
    def commitment(self) -> bytes:
        return consent_commitment(encode_consent(self.content), self.salt)

    @property
    def giving(self) -> pb.GiveConsent:
        anchors = {"person_anchor": anchor_of(self.person), "party_anchor": anchor_of(self.party)}
        return pb.GiveConsent(commitment=self.commitment, valid_to_day=self.content.valid_to_day, **anchors)

    @property
    def ending(self) -> pb.EndConsent:
        return pb.EndConsent(commitment=self.commitment, proof=self.person)

    @property
    def claim(self) -> dict:
        return make_claim(self.content, self.salt, self.party)


def needs_consent(office: Office, chain: Chain, *places: tuple[str, int]) -> None:
    """Let an office's verifier read consents from a ledger, for purposes that need them."""
    realm = office.verifier.realm
    judge = replace(realm.judge, states=chain)
    office.verifier = replace(office.verifier, realm=Realm(realm.directory, realm.recorder, judge))
    for place in places:
        office.directory.purposes[place] = replace(office.directory.purposes[place], needs_consent=True, version=1)
