# SPDX-License-Identifier: Apache-2.0
"""Credit's consents and looks stand where a registered person has all of theirs: one data space, one list of looks."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from credit_service_rig import KEEPER, CreditService, credit_service
from store_rig import Rig

from credit.api import accesses, consents
from credit.api.consents import check
from credit.api.registered import CLAIMS, Kept, put_consent
from credit.api.reports import report_for
from credit.api.tables import CreditSubject
from identity import access
from identity.access import slot_of_claim
from identity.api.accesses import lists, reading
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from identity.api.space import consents as space
from identity.commitments import anchor_of
from identity.consents import decode_consent, encode_consent
from identity.pb import identity_pb2
from identity.relying_rules import relying_party_key
from service.problems import Problem
from tests.rig import transaction

ANN = "440601199001011234"


@pytest.fixture
def lite(sqlite_rig: Rig) -> Iterator[CreditService]:
    with credit_service(sqlite_rig) as made:
        yield made


@pytest.fixture
def person(lite: CreditService) -> str:
    """Ann, as the desk registered her in the same store."""
    return registered(lite, ANN, PersonState.ACTIVE)


@pytest.fixture
async def ann(lite: CreditService, person: str) -> str:
    assert person
    return await lite.open_log(ANN)


def registered(lite: CreditService, number: str, state: PersonState) -> str:
    with lite.store.write() as session:
        person_id = lite.store.people.add(session)
        row = DeskPerson(person_id=person_id, organisation="org-r", state=state, created_ms=1, changed_ms=1)
        lite.store.people.seal(session, row, DeskPerson.number, number)
        return person_id


def in_space(lite: CreditService, person: str) -> list[space.Kept]:
    """What the data space has to show and to withdraw."""
    seen: Any = SimpleNamespace(desk=SimpleNamespace(store=lite.store))
    with lite.store.read() as session:
        return space.of_person(seen, session, person)


def on_ledger(lite: CreditService, salt: int, *messages: Any) -> None:
    sent = transaction(list(messages), [KEEPER.signer], lite.ledger.time_ms + 10_000, salt)
    assert lite.ledger.codes(sent) == [""]


async def code_of(lite: CreditService, subject: str, claim: str = "report") -> str:
    try:
        await check(lite.context, subject, "org-y", "tender", claim)
    except Problem as problem:
        return problem.kind.code
    return ""


async def test_consent_stands_in_the_data_space_and_one_withdrawn_there_stops_the_next_report(
    lite: CreditService, ann: str, person: str
) -> None:
    await consents.give(lite.context, ann, "org-y", "tender", 3)
    await report_for(lite.context, ann, "org-y", "tender")
    (kept,) = in_space(lite, person)
    content = decode_consent(kept.content)
    assert (content.organisation, content.purpose, content.version) == ("org-y", 13, 4)
    assert list(content.attributes) == ["credit-tender/grade", "credit-tender/report"]
    height = lite.ledger.height
    on_ledger(lite, 900, identity_pb2.EndConsent(commitment=kept.commitment, proof=kept.person_secret))
    assert lite.ledger.height == height + 1
    with pytest.raises(Problem, match=r"credit\.consent"):
        await report_for(lite.context, ann, "org-y", "tender")
    (row,) = consents.listed(lite.context, ann)
    assert not row.ended_ms
    await consents.refresh(lite.context, ann)
    (row,) = consents.listed(lite.context, ann)
    assert row.ended_ms


async def test_consent_that_the_data_space_narrowed_lets_nothing_more_be_read(
    lite: CreditService, ann: str, person: str
) -> None:
    await consents.give(lite.context, ann, "org-y", "tender", 3)
    (kept,) = in_space(lite, person)
    content = decode_consent(kept.content)
    del content.attributes[:]
    content.attributes.append("credit-tender/grade")
    narrowed = Kept(encode_consent(content), bytes(range(32)), b"p" * 32, b"q" * 32)
    given = identity_pb2.GiveConsent(
        commitment=narrowed.commitment,
        person_anchor=anchor_of(narrowed.person),
        party_anchor=anchor_of(narrowed.party),
        valid_to_day=content.valid_to_day,
    )
    on_ledger(lite, 900, identity_pb2.EndConsent(commitment=kept.commitment, proof=kept.person_secret), given)
    with lite.store.write() as session:
        subject = session.get(CreditSubject, ann)
        assert subject is not None
        put_consent(lite.context, session, subject, narrowed)
    assert [await code_of(lite, ann, claim) for claim in CLAIMS] == ["", "credit.consent"]


async def test_look_stands_in_the_list_that_the_persons_credential_names(
    lite: CreditService, ann: str, person: str
) -> None:
    with lite.store.write() as session:
        claim = lists.own_claims(session, lite.store, person, lite.context.now())["access_slot"]
    await consents.give(lite.context, ann, "org-y", "tender", 3)
    await report_for(lite.context, ann, "org-y", "tender")
    (mine,) = await accesses.reports(lite.context, ann)
    assert mine.first_slot == slot_of_claim(claim)
    (look,) = access.verify(mine.report, mine.first_slot, lite.context.ledger.genesis).accesses
    assert look.content is not None
    assert (look.content.organisation, look.content.purpose) == ("org-y", 13)
    assert list(look.content.attributes) == ["credit-tender/report"]
    with lite.store.read() as session:
        (ordinary,) = reading.opened(session, lite.store, person)
    assert [one.content != b"" for one in ordinary.openings] == [True]


async def test_somebody_whose_registration_was_revoked_has_a_list_of_credits_own(lite: CreditService) -> None:
    person = registered(lite, "440601199001015678", PersonState.REVOKED)
    bob = await lite.open_log("440601199001015678")
    await consents.give(lite.context, bob, "org-y", "tender", 3)
    await report_for(lite.context, bob, "org-y", "tender")
    assert in_space(lite, person) == []
    assert len(await accesses.reports(lite.context, bob)) == 1
    with lite.store.read() as session:
        assert reading.opened(session, lite.store, person) == []


async def test_organisation_that_is_not_registered_for_a_purpose_gets_no_consent(lite: CreditService, ann: str) -> None:
    with pytest.raises(Problem, match=r"credit\.reader-terms"):
        await consents.give(lite.context, ann, "org-x", "tender", 3)
    others = [identity_pb2.RelyingPurpose(number=1, attributes=["natural-person/birthdate"])]
    lite.ledger.register(
        "org-x", terms=identity_pb2.RelyingTerms(purposes=others, valid_from_ms=1, valid_to_ms=1 << 50)
    )
    with pytest.raises(Problem, match=r"credit\.reader-terms"):
        await consents.give(lite.context, ann, "org-x", "tender", 3)
    assert consents.listed(lite.context, ann) == []


@pytest.mark.parametrize("change", ["suspended", "over", "renumbered", "gone"])
async def test_organisation_whose_registration_ended_reads_no_more_with_a_consent_that_counts(
    lite: CreditService, ann: str, change: str
) -> None:
    await consents.give(lite.context, ann, "org-y", "tender", 3)
    assert await code_of(lite, ann) == ""
    where = relying_party_key("org-y")
    record = identity_pb2.RelyingPartyRecord.FromString(lite.ledger.state[where])
    if change == "suspended":
        record.status = identity_pb2.PERSON_STATUS_SUSPENDED
    elif change == "over":
        record.terms.valid_to_ms = 2
    elif change == "renumbered":
        record.terms.purposes[2].number = 14
    lite.ledger.state[where] = record.SerializeToString(deterministic=True)
    if change == "gone":
        del lite.ledger.state[where]
    assert await code_of(lite, ann) == "credit.consent"
