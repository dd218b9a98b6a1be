# SPDX-License-Identifier: Apache-2.0
"""Relying parties, mandates and attestations by the ledger's own rules; offline codes."""

import time
from collections.abc import Sequence

import pytest
from verifier_rig import LOGIN, STALE, STATUS_URI, Office, code_of, signer, steps

from chain.errors import Refused
from identity import offline_qr
from identity.api.verifier.directory import LedgerDirectory
from identity.api.verifier.ledger import Issuers, IssuerStanding, Proven
from identity.api.verifier.registered import NotRegistered
from identity.credentials import NATURAL_PERSON
from identity.legal_persons import load_legal_person
from identity.pb import identity_pb2 as pb
from identity.registrations import proposal_digest
from identity.relying_rules import load_relying_proposal
from identity.sd_jwt import StatusReference
from identity.status import status_key
from identity.status_list import Status
from tests.identity_rig import USCC, IdentityRig, accepts, hidden, key_of, mandate, random_id, secret

QR_MS_MAX = 5
"""What an offline code may take, on a machine that is not busy."""


class RulesStates:
    """State as the rules have made it; heights are remembered."""

    def __init__(self, rules: IdentityRig) -> None:
        self.rules = rules
        self.past: dict[int, tuple[int, dict[bytes, bytes]]] = {}

    def remember(self, height: int) -> None:
        self.past[height] = (self.newest_ms, dict(self.rules.state))

    @property
    def newest_ms(self) -> int:
        """Of the newest block; the rules' rig is at the time of the one to come."""
        assert self.rules.last is not None
        return self.rules.last.time_ms

    async def read(self, keys: Sequence[bytes], *, height: int = 0) -> Proven:
        if height and height not in self.past:
            raise Refused("nobody holds that height", "node.height")
        time_ms, state = self.past[height] if height else (self.newest_ms, self.rules.state)
        values = {key: state.get(key) for key in keys}
        return Proven(height or 9, time_ms, values, {key: b"receipt of " + key for key in keys})


@pytest.fixture
def rules():
    return IdentityRig()


def registered(rules, *purposes, organisation="org-a"):
    """A relying party, by two officers."""
    terms = pb.RelyingTerms(
        purposes=purposes,
        keys=[b"\x02" + bytes(32)],
        valid_from_ms=rules.time_ms - 1_000_000,
        valid_to_ms=rules.time_ms + 86_400_000,
    )
    propose = pb.ProposeRelyingParty(organisation=organisation, terms=terms)
    assert rules.code("ann@p256", propose) == ""
    proposal = load_relying_proposal(rules.state.get, organisation)
    confirm = pb.ConfirmRelyingParty(organisation=organisation, digest=proposal_digest(proposal))
    assert rules.code("bob@webauthn", confirm) == ""


def purpose(number=101, **changes):
    fields = {
        "number": number,
        "name_zh": "开户",
        "name_en": "Opening an account",
        "legal_basis": "AML, 29",
        "attributes": ["natural-person/age_over_18", "natural-person/birthdate"],
        "per_second_max": 9,
    } | changes
    return pb.RelyingPurpose(**fields)


async def test_purpose_is_what_two_officers_confirmed_with_its_receipt(rules):
    registered(rules, purpose(), purpose(102, emergency=True, status_age_s_max=60))
    directory = LedgerDirectory(RulesStates(rules), lambda: 0)
    found = await directory.purpose("org-a", 101)
    assert found.attributes == {NATURAL_PERSON: frozenset({"age_over_18", "birthdate"})}
    assert (found.is_emergency, found.status_age_s_max, found.per_second_max) == (False, None, 9)
    assert (found.about_en, found.legal_basis) == ("Opening an account", "AML, 29")
    urgent = await directory.purpose("org-a", 102)
    assert (urgent.is_emergency, urgent.status_age_s_max) == (True, 60)


async def test_purpose_that_names_the_verifiers_own_claims_does_not_bring_them(rules):
    registered(rules, purpose(attributes=["natural-person/access_slot", "natural-person/age_over_18"]))
    found = await LedgerDirectory(RulesStates(rules), lambda: 0).purpose("org-a", 101)
    assert found.attributes == {NATURAL_PERSON: frozenset({"age_over_18"})}


@pytest.mark.parametrize(
    ("organisation", "number"), [("org-a", 999), ("org-u", 101), ("nobody", 101), ("no organisation/../x", 101)]
)
async def test_who_is_not_registered_for_a_purpose_has_none(rules, organisation, number):
    registered(rules, purpose())
    with pytest.raises(NotRegistered):
        await LedgerDirectory(RulesStates(rules), lambda: 0).purpose(organisation, number)


async def test_verifier_whose_key_the_registration_does_not_name_asks_nobody(rules):
    registered(rules, purpose())
    named = LedgerDirectory(RulesStates(rules), lambda: 0, lambda: b"\x02" + bytes(32))
    assert (await named.purpose("org-a", 101)).id == 101
    with pytest.raises(NotRegistered, match="signing key"):
        await LedgerDirectory(RulesStates(rules), lambda: 0, lambda: b"\x03" + bytes(32)).purpose("org-a", 101)


async def test_suspended_relying_party_stops_within_the_time_for_which_answers_are_remembered(rules):
    registered(rules, purpose())
    clock_ms = 0
    directory = LedgerDirectory(RulesStates(rules), lambda: clock_ms)
    await directory.purpose("org-a", 101)
    suspend = pb.SetRelyingPartyStatus(
        organisation="org-a", status=pb.STATUS_SUSPENDED, reason=pb.REASON_UNDER_INVESTIGATION
    )
    assert rules.code("ann@p256", suspend) == ""
    clock_ms = 15_000
    with pytest.raises(NotRegistered, match="suspended"):
        await directory.purpose("org-a", 101)


async def test_purpose_says_whether_it_needs_a_consent(rules):
    registered(rules, purpose(needs_consent=True), purpose(102))
    directory = LedgerDirectory(RulesStates(rules), lambda: 0)
    assert [(await directory.purpose("org-a", number)).needs_consent for number in (101, 102)] == [True, False]


async def test_issuers_key_that_the_ledger_ended_counts_for_nothing_and_one_it_lacks_is_unknown(rules):
    issuers = Issuers(RulesStates(rules), lambda: 0)
    unknown = await issuers.standing(signer(1).public_key)
    assert (unknown.is_known, unknown.counts) == (False, False)

    known = await issuers.standing(key_of("ann@p256").public_key)
    assert (known.is_known, known.counts) == (True, True)


# ---------------------------------------------------------------- mandates and attestations


class Direct:
    """A bank that asks, over the rules' state."""

    def __init__(self, rig, rules):
        self.office = Office(rig)
        self.states = RulesStates(rules)
        self.office.states = self.states
        self.rules = rules

    async def check(self, path, **body):
        async with self.office.serving() as bank:
            response = await bank.http.post(f"/v1/{path}/check", json={"purpose": LOGIN} | body, headers=bank.headers)
        assert response.status_code == 200, response.text
        return response.json()["report"]


@pytest.fixture
def direct(sqlite_rig, rules):
    return Direct(sqlite_rig, rules)


def granted(rules, what, **changes):
    made = mandate(what, rules.time_ms, **changes)
    assert rules.code("ann@p256", made) == ""
    for side, name in ((pb.SIDE_PRINCIPAL, "principal"), (pb.SIDE_AGENT, "agent")):
        accept = pb.AcceptMandate(id=made.id, side=side, proof=accepts(name, what))
        assert rules.code("desk@p256", accept) == ""
    return made


async def test_mandate_says_whether_she_may_act_in_this_up_to_this_amount(direct, rules):
    made = granted(rules, 1, amount_fen_max=100_000)
    act = {"mandate": made.id.hex(), "scope": "tax", "power": "apply", "amount_fen": 100_000}
    held = await direct.check("mandates", **act)
    assert held["outcome"] == "held"
    assert [one["of"] for one in held["receipts"]] == ["record", "registration"]
    for change, code in (
        ({"amount_fen": 100_001}, "mandate.amount"),
        ({"power": "pay"}, "mandate.power"),
        ({"scope": "housing"}, "mandate.scope"),
        ({"legal_person": USCC}, "mandate.other-principal"),
        ({"mandate": "00" * 16}, "mandate.unknown"),
    ):
        assert code_of(await direct.check("mandates", **act | change), "record") == code
    end = pb.EndMandate(id=made.id, proof=secret("agent", 1))
    assert rules.code("desk@p256", end) == ""
    assert code_of(await direct.check("mandates", **act), "record") == "mandate.not-counting"


async def test_companys_mandate_is_checked_with_the_company_named(direct, rules):
    propose = pb.ProposeLegalPerson(uscc=USCC, name_zh="公司", name_en="Company", commitment=hidden("company"))
    assert rules.code("ann@p256", propose) == ""

    digest = proposal_digest(load_legal_person(rules.state.get, USCC).proposal)
    assert rules.code("bob@webauthn", pb.ConfirmLegalPerson(uscc=USCC, digest=digest)) == ""
    made = granted(rules, 2, kind=pb.MANDATE_KIND_LEGAL_PERSON, legal_person=USCC.encode())
    act = {"mandate": made.id.hex(), "scope": "tax", "power": "view"}
    assert code_of(await direct.check("mandates", **act), "record") == "mandate.company-unnamed"
    assert (await direct.check("mandates", **act, legal_person=USCC))["outcome"] == "held"
    suspend = pb.SetLegalPersonStatus(uscc=USCC, status=pb.STATUS_SUSPENDED, reason=pb.REASON_UNDER_INVESTIGATION)
    assert rules.code("ann@p256", suspend) == ""
    assert code_of(await direct.check("mandates", **act, legal_person=USCC), "record") == "mandate.not-counting"


async def test_attestations_state_at_a_past_time_is_proven_or_called_unknown(direct, rules):
    attestation = random_id("attestation")
    asked = {"issuer": "org-r", "attestation": attestation.hex(), "height": 0}
    before_ms = direct.states.newest_ms
    direct.states.remember(5)
    revoke = pb.SetStatus(id=attestation, status=pb.STATUS_REVOKED, reason=pb.REASON_NO_LONGER_TRUE)
    assert rules.code("ann@p256", revoke) == ""
    assert status_key("org-r", attestation) in rules.state
    since_ms = pb.StatusRecord.FromString(rules.state[status_key("org-r", attestation)]).since_ms
    after = await direct.check("attestations", **asked, at_ms=since_ms)
    assert (code_of(after, "record"), after["facts"]["since_ms"]) == ("attestation.revoked", since_ms)
    earlier = await direct.check("attestations", **asked, at_ms=since_ms - 1)
    assert (earlier["outcome"], steps(earlier)["record"]) == ("undecided", "unknown")
    exact = await direct.check("attestations", **asked | {"height": 5}, at_ms=before_ms)
    assert (exact["outcome"], exact["facts"]["height"]) == ("held", 5)


async def test_attestation_is_not_held_for_a_time_that_the_block_before_does_not_reach(direct, rules):
    attestation = random_id("attestation")
    asked = {"issuer": "org-r", "attestation": attestation.hex()}
    direct.states.remember(5)
    before_ms = direct.states.newest_ms
    ahead = await direct.check("attestations", **asked, height=0, at_ms=before_ms + 30 * 86_400_000)
    assert (ahead["outcome"], code_of(ahead, "record")) == ("undecided", "attestation.later-time")
    revoke = pb.SetStatus(id=attestation, status=pb.STATUS_REVOKED, reason=pb.REASON_NO_LONGER_TRUE)
    assert rules.code("ann@p256", revoke) == ""
    since_ms = pb.StatusRecord.FromString(rules.state[status_key("org-r", attestation)]).since_ms
    alone = await direct.check("attestations", **asked, height=5, at_ms=before_ms + 1)
    assert (alone["outcome"], code_of(alone, "record")) == ("undecided", "attestation.later-time")
    direct.states.remember(6)
    between = await direct.check("attestations", **asked, height=5, at_ms=direct.states.past[6][0] - 1)
    assert between["outcome"] == "held"
    assert [one["of"] for one in between["receipts"]][:2] == ["record", "next-record"]
    for at_ms in (since_ms, since_ms + 3_600_000):
        after = await direct.check("attestations", **asked, height=5, at_ms=at_ms)
        assert (after["outcome"], code_of(after, "record")) == ("undecided", "attestation.later-time")
    for_good = await direct.check("attestations", **asked, height=6, at_ms=since_ms + 3_600_000)
    assert code_of(for_good, "record") == "attestation.revoked"


async def test_suspension_is_not_claimed_for_a_time_after_the_newest_block(direct, rules):
    attestation = random_id("attestation")
    suspend = pb.SetStatus(id=attestation, status=pb.STATUS_SUSPENDED, reason=pb.REASON_UNDER_INVESTIGATION)
    assert rules.code("ann@p256", suspend) == ""
    asked = {"issuer": "org-r", "attestation": attestation.hex(), "height": 0}
    now = await direct.check("attestations", **asked, at_ms=direct.states.newest_ms)
    ahead = await direct.check("attestations", **asked, at_ms=direct.states.newest_ms + 1)
    assert code_of(now, "record") == "attestation.suspended"
    assert (ahead["outcome"], code_of(ahead, "record")) == ("undecided", "attestation.later-time")


# ---------------------------------------------------------------- offline codes


def code(office, holder, **changes):
    fields = {
        "token_id": bytes(range(16)),
        "issued_s": office.now_s,
        "expires_s": office.now_s + 3_600,
        "status": StatusReference(STATUS_URI, 5),
    } | changes
    token = offline_qr.issue(
        {"family_name": "李", "age_over_18": True, "assurance_level": "high"},
        office.issuing,
        office.key.key_id,
        holder.public_key,
        **fields,
    )
    return offline_qr.show(token, holder, now_s=office.now_s)


async def checked(bank, text, purpose=LOGIN):
    response = await bank.http.post(
        "/v1/offline-codes/check", json={"purpose": purpose, "code": text}, headers=bank.headers
    )
    assert response.status_code == 200, response.text
    return response.json()["report"]


async def test_offline_code_is_taken_once_by_each_relying_party_within_a_few_milliseconds(sqlite_rig):
    office = Office(sqlite_rig)
    holder = signer(5)
    async with office.serving() as bank:
        text = code(office, holder)
        first = await checked(bank, text)
        again = await checked(bank, text)
        other = await checked(bank.by(office.clinic_key), text)
        elapsed_ms = []
        for i in range(30):
            text = code(office, holder, token_id=bytes([i]) * 16)
            started = time.perf_counter()
            offline_qr.verify(text, lambda _: office.issuing.public_key, office.now_s)
            elapsed_ms.append((time.perf_counter() - started) * 1000)
    assert first["claims"] == {"code": {"family_name": "李", "age_over_18": True, "assurance_level": "high"}}
    assert first["assurance_level"] == "high"
    assert code_of(again, "code") == "identity.qr-seen"
    assert other["outcome"] == "held"
    assert min(elapsed_ms) < QR_MS_MAX


async def test_revoked_or_stale_offline_code_is_refused_as_the_purpose_says(sqlite_rig):
    office = Office(sqlite_rig)
    holder = signer(6)
    async with office.serving() as bank:
        office.listed_s = office.now_s - 700
        strict = await checked(bank, code(office, holder, token_id=bytes(16)))
        lenient = await checked(bank, code(office, holder, token_id=bytes([1]) * 16), STALE)
        office.listed_s = None
        office.statuses.set(5, Status.INVALID)
        office.rig.clock_ms += 31_000
        revoked = await checked(bank, code(office, holder, token_id=bytes([2]) * 16))
        no_list = await checked(bank, code(office, holder, token_id=bytes([3]) * 16, status=None))
        unlisted = await checked(bank, code(office, holder, token_id=bytes([4]) * 16, status=None), STALE)
    assert code_of(strict, "status") == "verifier.status-stale"
    assert (lenient["outcome"], lenient["statuses"][0]["age_s"]) == ("held", 700)
    assert code_of(revoked, "status") == "identity.credential-revoked"
    assert (no_list["outcome"], code_of(no_list, "status")) == ("refused", "identity.status-missing")
    assert (unlisted["outcome"], steps(unlisted)["status"]) == ("held", "not-asked")


async def test_offline_code_by_an_issuer_key_that_the_ledger_ended_is_refused_and_tells_nothing(
    sqlite_rig, monkeypatch
):
    office = Office(sqlite_rig)
    counts = True

    async def standing(_public_key):
        return IssuerStanding(is_known=True, counts=counts, receipt=b"receipt of the key")

    monkeypatch.setattr(office.verifier.realm.judge.issuers, "standing", standing)
    async with office.serving() as bank:
        before = await checked(bank, code(office, signer(5)))
        counts = False
        after = await checked(bank, code(office, signer(5), token_id=bytes([1]) * 16))
    assert (before["outcome"], steps(before)["issuer-key"]) == ("held", "held")
    assert before["receipts"][0]["of"] == "issuer-key"
    assert (after["outcome"], code_of(after, "issuer-key")) == ("refused", "verifier.issuer-ended")
    assert after["claims"] == {}


@pytest.mark.parametrize("text", ["", "IMI1:", "IMI1:" + "A" * 1_900, "hello", "IMI1:!!!!"])
async def test_what_is_no_code_is_refused_as_a_step(sqlite_rig, text):
    async with Office(sqlite_rig).serving() as bank:
        report = await checked(bank, text)
    assert report["outcome"] == "refused"
