# SPDX-License-Identifier: Apache-2.0
"""The data space: who may act in it, what it tells with proof, consents that end within a block, locks, requests."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from desk_cards_rig import ORGANISATION
from space_rig import KEYS, Holder, SpaceOffice
from sqlalchemy import select

from chain import receipt, receipt_text
from identity.api.accesses.lists import own_claims
from identity.api.desk.looking_up import Reason, note_access
from identity.api.issuer import lists as issuer_lists
from identity.api.space import acts, requests
from identity.api.space.known import masked
from identity.api.space.tables import SpaceConsent
from identity.consents import consent_commitment, consent_key, counts, encode_consent, load_consent
from identity.credentials import legal_person
from identity.jose import decode_base64url, encode_base64url
from identity.legal_persons import legal_person_key
from identity.pb import access_pb2
from identity.pb import identity_pb2 as pb
from identity.person_data import canonical_data, data_commitment
from identity.registrations import person_key
from identity.sd_jwt import Binding, present
from service.notices.tables import Notice
from service.problems import Problem
from tests.identity_rig import USCC

DAY_MS = 86_400_000
SALT, PERSON_SECRET, PARTY_SECRET = (bytes([i]) * 32 for i in (1, 2, 3))


@pytest.fixture
def office(sqlite_rig: Any) -> SpaceOffice:
    return SpaceOffice(sqlite_rig)


@pytest_asyncio.fixture
async def holder(office: SpaceOffice) -> AsyncIterator[Holder]:
    async with office.wallet() as wallet:
        yield await Holder.with_credential(wallet)


def consent(office: SpaceOffice, *attributes: str, days: int = 30) -> bytes:
    now_ms = office.rig.clock_ms
    return encode_consent(
        access_pb2.ConsentContent(
            organisation="bank-one",
            purpose=7,
            version=1,
            attributes=sorted(attributes or ("natural-person/birthdate", "natural-person/family_name")),
            given_at_ms=now_ms,
            valid_to_day=now_ms // DAY_MS + days,
            subject=bytes(32),
        )
    )


def giving(content: bytes, salt: bytes = SALT, ends: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "content": encode_base64url(content),
        "salt": salt.hex(),
        "person_secret": PERSON_SECRET.hex(),
        "party_secret": PARTY_SECRET.hex(),
        "ends": list(ends),
    }


def is_counting(office: SpaceOffice, content: bytes, salt: bytes = SALT) -> bool:
    rules = office.space_ledger.rules
    return counts(load_consent(rules.state.get, consent_commitment(content, salt)), rules.time_ms)


# ---------------------------------------------------------------- who may act


async def test_act_that_was_signed_as_another_is_refused(holder: Holder) -> None:
    text, nonce = json.dumps({"do": "overview"}), await holder.wallet.nonce()
    other = json.dumps({"do": "lock", "what": "registration"})
    presentation = holder.presented(text, nonce)
    answer = await holder.wallet.http.post(
        "/space/acts", json={"presentation": presentation, "nonce": nonce, "act": other}
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_credential_request")


async def test_presentation_made_for_something_else_than_an_act_does_nothing(holder: Holder) -> None:
    nonce = await holder.wallet.nonce()
    binding = Binding(holder.wallet.office.origin, nonce)
    bare = present(holder.token, [], key=holder.key, binding=binding, now_s=holder.wallet.office.now_s)
    answer = await holder.send({"do": "overview"}, presentation=bare, nonce=nonce)
    assert answer.json()["error"] == "invalid_credential_request"


async def test_signed_act_is_good_once(holder: Holder) -> None:
    text, nonce = json.dumps({"do": "overview"}), await holder.wallet.nonce()
    body = {"presentation": holder.presented(text, nonce), "nonce": nonce, "act": text}
    assert (await holder.wallet.http.post("/space/acts", json=body)).status_code == 200
    again = await holder.wallet.http.post("/space/acts", json=body)
    assert again.json()["error"] == "invalid_nonce"


async def test_somebody_who_has_the_credential_and_not_its_key_is_refused(holder: Holder) -> None:
    text, nonce = json.dumps({"do": "overview"}), await holder.wallet.nonce()
    stolen = holder.presented(text, nonce, key=holder.wallet.key())
    answer = await holder.send(text, presentation=stolen, nonce=nonce)
    assert answer.json()["error"] == "invalid_credential_request"


async def test_act_of_another_form_is_refused_and_changes_nothing(holder: Holder) -> None:
    unknown = [json.dumps({"do": name}) for name in ("erase-everything", "lock", "consent.end")]
    for act in ("", "[]", "7", '{"do": 7}', "{" * 9000, *unknown):
        answer = await holder.send(act)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), act


async def test_body_of_another_form_is_refused(holder: Holder) -> None:
    for body in ([], {}, {"presentation": 1, "nonce": [], "act": {}}, "text"):
        answer = await holder.wallet.http.post("/space/acts", json=body)
        assert answer.status_code == 400, body


async def test_page_of_another_origin_reads_the_answer_and_no_cookie_counts(holder: Holder) -> None:
    asked = {"origin": "https://wallet.example.org", "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "content-type"
    answer = await holder.wallet.http.options("/space/acts", headers=asked)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


async def test_companys_credential_opens_nobodys_data_space(holder: Holder, office: SpaceOffice) -> None:
    key = legal_person_key(USCC)
    company = pb.LegalPersonRecord(registrar=ORGANISATION, status=pb.PERSON_STATUS_ACTIVE, since_ms=1, name_zh="一公司")
    office.space_ledger.rules.state[key] = company.SerializeToString(deterministic=True)
    claims = legal_person(legal_name="一公司", uscc=USCC, legal_representative="李小明", assurance_level="high")
    offer = office.offer(claims=claims, subjects=[key], opening=None)
    wallet, own = holder.wallet, holder.wallet.key()
    access, nonce = await wallet.token(offer), await wallet.nonce()
    answer = await wallet.ask(access, [wallet.proof(nonce, own)], "legal-person-1")
    assert answer.status_code == 200, answer.text
    colleague = Holder(wallet, str(answer.json()["credentials"][0]["credential"]), own)
    assert await colleague.refused("overview") == "invalid_credential_request"
    assert await colleague.refused("lock", what="registration") == "invalid_credential_request"


async def test_credential_that_was_ended_acts_no_longer(holder: Holder, office: SpaceOffice) -> None:
    with office.store.write() as session:
        issuer_lists.revoke_copies(session, office.person)
    assert await holder.refused("overview") == "credential_request_denied"


async def test_more_changes_in_a_day_than_anybody_makes_are_refused(
    holder: Holder, office: SpaceOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "ACTS_DAY_MAX", 1)
    await holder.do("request.make", kind="correct", text="一")
    assert await holder.refused("request.make", kind="correct", text="二") == "credential_request_denied"
    assert (await holder.do("overview"))["requests"][0]["text"] == "一"
    office.rig.clock_ms += DAY_MS + 1
    with office.store.read() as session:
        assert len(requests.of_person(session, office.person)) == 1


# ---------------------------------------------------------------- what is known


async def test_overview_opens_the_registration_and_its_receipt_proves_all_that_it_rests_on(
    holder: Holder, office: SpaceOffice
) -> None:
    content = consent(office)
    await holder.do("consent.give", **giving(content))
    told = await holder.do("overview")
    raw = decode_base64url(told["receipt"], "receipt")
    proven = receipt.verify(raw, office.space_ledger.chain.genesis)
    states = {state.key: state.value for state in proven.states}
    person = told["person"]
    record = pb.PersonRecord.FromString(states[person_key(bytes.fromhex(person["registration"]))] or b"")
    assert record.status == pb.PERSON_STATUS_ACTIVE
    assert data_commitment(canonical_data(person["data"]), bytes.fromhex(person["salt"])) == record.commitment
    assert person["registrar"] == ORGANISATION
    assert states[b"membership/organisation/org-r"] is not None
    (given,) = told["consents"]
    assert states[consent_key(bytes.fromhex(given["commitment"]))] is not None
    assert told["credentials"] == {"copies": 1, "codes": 0}


async def test_overview_of_somebody_tells_nothing_of_anybody_else(holder: Holder, office: SpaceOffice) -> None:
    await holder.do("consent.give", **giving(consent(office)))
    await holder.do("request.make", kind="correct", text="地址有误")
    mine = office.person
    with office.store.write() as session:
        office.person = office.store.people.add(session)
    stranger = await Holder.with_credential(holder.wallet)
    office.person = mine
    told = await stranger.do("overview")
    assert (told["person"], told["consents"], told["requests"]) == (None, [], [])
    assert await stranger.refused("lock", what="registration") == "credential_request_denied"
    with office.store.read() as session:
        (row,) = session.scalars(select(SpaceConsent)).all()
    assert await stranger.refused("consent.end", id=row.id) == "invalid_request"
    assert is_counting(office, consent(office))


async def test_ledger_out_of_reach_is_told_as_such(holder: Holder, office: SpaceOffice) -> None:
    office.space_ledger.is_reachable = False
    answer = await holder.send({"do": "overview"})
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


async def test_export_has_what_the_desk_keeps_and_a_list_of_accesses_that_verifies(
    holder: Holder, office: SpaceOffice
) -> None:
    with office.store.write() as session:
        slot = own_claims(session, office.store, office.person, 0)["access_slot"]
    told = await holder.do("export", access_slot=slot)
    assert told["desk"]["data"]["name"] == "李小明"
    assert "access_lists" not in told["desk"]
    report = access_pb2.AccessReport.FromString(decode_base64url(told["accesses"]["report"], "report"))
    assert len(report.openings) == 0
    genesis = office.space_ledger.chain.genesis
    receipt.verify(report.receipt, genesis)
    assert [one["of"] for one in told["receipts"]] == ["overview", "accesses"]
    for one in told["receipts"]:  # as `zhixin receipt verify` takes them
        receipt.verify(receipt_text.decode_any(json.dumps(one["receipt"]).encode()), genesis)


def test_entry_that_is_somebody_elses_matter_is_masked_and_the_others_stay() -> None:
    def opening(*, third_party: bool) -> access_pb2.AccessOpening:
        content = access_pb2.AccessContent(
            kind=access_pb2.ACCESS_KIND_LOOK_UP,
            organisation="org-r",
            at_ms=1,
            reason=access_pb2.LOOK_UP_REASON_CASE,
            third_party=third_party,
        )
        return access_pb2.AccessOpening(
            content=content.SerializeToString(deterministic=True), content_salt=SALT, next_slot=SALT, next_salt=SALT
        )

    whole = access_pb2.AccessReport(openings=[opening(third_party=False), opening(third_party=True)])
    told = access_pb2.AccessReport.FromString(masked(whole.SerializeToString(deterministic=True)))
    assert told.openings[0] == whole.openings[0]
    assert (told.openings[1].content, told.openings[1].content_salt) == (b"", b"")
    assert told.openings[1].next_slot == SALT


# ---------------------------------------------------------------- consents


async def test_consent_counts_once_given_and_no_longer_in_the_very_block_that_withdraws_it(
    holder: Holder, office: SpaceOffice
) -> None:
    content, rules = consent(office), office.space_ledger.rules
    given = (await holder.do("consent.give", **giving(content)))["consent"]
    assert is_counting(office, content)
    height = rules.height
    await holder.do("consent.end", id=given["id"])
    assert rules.height == height + 1
    assert not is_counting(office, content)
    await holder.do("consent.end", id=given["id"])  # once more changes nothing


async def test_consent_is_narrowed_in_one_transaction(holder: Holder, office: SpaceOffice) -> None:
    wide, narrow = consent(office), consent(office, "natural-person/family_name")
    given = (await holder.do("consent.give", **giving(wide)))["consent"]
    height, other = office.space_ledger.rules.height, bytes([9]) * 32
    await holder.do("consent.give", **giving(narrow, other, ends=(given["id"],)))
    assert office.space_ledger.rules.height == height + 1
    assert not is_counting(office, wide)
    assert is_counting(office, narrow, other)


async def test_consent_asked_for_again_after_a_lost_answer_is_given_once(holder: Holder, office: SpaceOffice) -> None:
    content = consent(office)
    first = await holder.do("consent.give", **giving(content))
    assert await holder.do("consent.give", **giving(content)) == first
    with office.store.read() as session:
        assert len(session.scalars(select(SpaceConsent)).all()) == 1


async def test_consent_whose_fate_nobody_heard_of_can_be_withdrawn(holder: Holder, office: SpaceOffice) -> None:
    content, ledger = consent(office), office.space_ledger
    ledger.loses_answers = True
    assert await holder.refused("consent.give", **giving(content)) == "temporarily_unavailable"
    ledger.loses_answers = False
    assert is_counting(office, content)
    (kept,) = (await holder.do("overview"))["consents"]
    await holder.do("consent.end", id=kept["id"])
    assert not is_counting(office, content)


async def test_consent_that_lacks_a_part_or_breaks_a_rule_is_refused(holder: Holder, office: SpaceOffice) -> None:
    changes: list[dict[str, Any]] = [
        {"content": "AAAA"},
        {"content": 7},
        {"salt": "00"},
        {"person_secret": "zz"},
        {"party_secret": PERSON_SECRET.hex()},
        {"ends": "all"},
        {"ends": [7]},
        {"ends": ["nobody's"]},
        {"ends": ["x"] * 9},
    ]
    for change in changes:
        refused = await holder.refused("consent.give", **(giving(consent(office)) | change))
        assert refused in {"invalid_request", "credential_request_denied"}, change
        assert not is_counting(office, consent(office))


async def test_consent_for_more_than_a_year_is_refused_by_the_rules(holder: Holder, office: SpaceOffice) -> None:
    refused = await holder.refused("consent.give", **giving(consent(office, days=400)))
    assert refused == "credential_request_denied"


async def test_store_keeps_secrets_of_consents_sealed_and_erasing_the_person_takes_them(
    holder: Holder, office: SpaceOffice
) -> None:
    await holder.do("consent.give", **giving(consent(office)))
    with office.store.read() as session:
        (row,) = session.scalars(select(SpaceConsent)).all()
    assert row.content is not None
    assert b"bank-one" not in row.content
    assert PERSON_SECRET.hex().encode() not in row.content
    office.store.erase(office.person, "-")
    with office.store.read() as session:
        assert session.scalars(select(SpaceConsent)).all() == []


# ---------------------------------------------------------------- locking


async def test_holder_locks_a_key_at_once_is_told_and_cannot_unlock_it(holder: Holder, office: SpaceOffice) -> None:
    key = KEYS[0].commitment
    await holder.do("lock", what="key", key=key.hex())
    standing = {one.commitment: one.suspended for one in office.record().keys}
    assert standing == {key: True, KEYS[1].commitment: False}
    await holder.do("lock", what="key", key=key.hex())  # once more changes nothing
    assert await holder.refused("unlock", what="key", key=key.hex()) == "invalid_request"
    with office.store.read() as session:
        assert [one.kind for one in session.scalars(select(Notice))] == ["space-locked"]


async def test_holder_locks_the_whole_registration_and_every_credential_stops(
    holder: Holder, office: SpaceOffice
) -> None:
    await holder.do("lock", what="registration")
    assert office.record().status == pb.PERSON_STATUS_SUSPENDED
    assert await holder.refused("overview") == "credential_request_denied"


async def test_key_that_is_somebody_elses_is_not_locked(holder: Holder, office: SpaceOffice) -> None:
    assert await holder.refused("lock", what="key", key=bytes(32).hex()) == "credential_request_denied"
    assert not any(one.suspended for one in office.record().keys)


async def test_lost_phone_is_ended_from_another_one_which_goes_on(holder: Holder, office: SpaceOffice) -> None:
    lost = await Holder.with_credential(holder.wallet)
    second = await Holder.with_credential(holder.wallet)
    status = office.verify(second.token).status
    assert status is not None
    keep = [{"uri": status.uri, "idx": status.index}]
    assert (await holder.do("lock", what="devices", keep=keep))["ended"] == 1
    assert await lost.refused("overview") == "credential_request_denied"
    await second.do("overview")
    await holder.do("overview")
    with office.store.read() as session:
        assert [one.kind for one in session.scalars(select(Notice))] == ["space-devices"]


async def test_devices_that_stay_are_named_by_places_in_lists(holder: Holder) -> None:
    for keep in (None, {}, [7], [{"uri": "x"}], [{"uri": 7, "idx": 1}], [{"uri": "x", "idx": -1}]):
        assert await holder.refused("lock", what="devices", keep=keep) == "invalid_request"


# ---------------------------------------------------------------- requests


async def test_request_is_followed_from_the_holders_word_to_the_desks_answer(
    holder: Holder, office: SpaceOffice
) -> None:
    made = (await holder.do("request.make", kind="correct", text="地址应为祖庙街道 2 号"))["request"]
    assert made["state"] == "open"
    clerk, desk = office.officer(), office.desk
    with pytest.raises(Problem):  # nobody opens it without a reason for looking at its person
        requests.take(desk, clerk, made["id"])
    with office.store.write() as session:
        note_access(desk, session, clerk, office.person, Reason.CORRECTION)
        row, told = requests.opened(desk, session, clerk, made["id"])
    assert (told["text"], row.reference) == ("地址应为祖庙街道 2 号", made["reference"])
    with pytest.raises(Problem):  # nobody took it yet
        requests.answer(desk, clerk, made["id"], "done", "已更正")
    requests.take(desk, clerk, made["id"])
    with pytest.raises(Problem):  # a refusal gives its reason
        requests.answer(desk, clerk, made["id"], "declined", " ")
    requests.answer(desk, clerk, made["id"], "done", "已更正")
    (followed,) = (await holder.do("overview"))["requests"]
    assert (followed["state"], followed["answer"]) == ("done", "已更正")
    assert await holder.refused("request.withdraw", id=made["id"]) == "invalid_request"


async def test_request_is_withdrawn_by_its_holder_alone(holder: Holder, office: SpaceOffice) -> None:
    made = (await holder.do("request.make", kind="erase", text="不再需要"))["request"]
    with office.store.read() as session:
        assert requests.waiting(session, ORGANISATION) == 1
    withdrawn = (await holder.do("request.withdraw", id=made["id"]))["request"]
    assert withdrawn["state"] == "withdrawn"
    with office.store.read() as session:
        assert requests.waiting(session, ORGANISATION) == 0
        assert [row.reference for row in requests.listed(session, ORGANISATION)] == [made["reference"]]


async def test_sixth_open_request_and_one_without_words_are_refused(holder: Holder) -> None:
    assert await holder.refused("request.make", kind="correct", text=" ") == "invalid_request"
    assert await holder.refused("request.make", kind="other", text="x") == "invalid_request"
    for _ in range(requests.OPEN_MAX):
        await holder.do("request.make", kind="correct", text="x")
    assert await holder.refused("request.make", kind="correct", text="x") == "credential_request_denied"
