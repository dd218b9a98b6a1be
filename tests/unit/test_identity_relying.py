# SPDX-License-Identifier: Apache-2.0
"""Rules of relying parties: two officers, bounded terms, suspension and end; and what a registration allows."""

import pytest

from chain.types import STATE_VALUE_BYTES_MAX
from identity.credentials import LEGAL_PERSON, MANDATE, NATURAL_PERSON
from identity.pb import identity_pb2 as pb
from identity.registrations import PROPOSAL_LIFETIME_MS, proposal_digest
from identity.relying import allows, attribute, claims_of, find_purpose, refused_at, signs_for
from identity.relying_rules import (
    LIFETIME_MS_MAX,
    STATUS_AGE_S_MAX,
    load_relying_party,
    load_relying_proposal,
    relying_party_key,
)
from membership.pb import membership_pb2
from tests.identity_rig import REASON, IdentityRig, hidden
from tests.rig import BLOCK_MS, START_MS

BANK = "org-a"
DAY_MS = 86_400_000
KEYS = [b"\x02" + bytes(32), b"\x03" + bytes(32)]


@pytest.fixture
def rig() -> IdentityRig:
    return IdentityRig()


def purpose(number: int = 1, **changes: object) -> pb.RelyingPurpose:
    fields: dict[str, object] = {
        "number": number,
        "name_zh": "开户",
        "name_en": "Opening an account",
        "legal_basis": "反洗钱法第二十九条",
        "attributes": ["natural-person/birthdate", "natural-person/family_name"],
        "status_age_s_max": 3_600,
        "per_second_max": 10,
    }
    return pb.RelyingPurpose(**{**fields, **changes})


def terms(*purposes: pb.RelyingPurpose, **changes: object) -> pb.RelyingTerms:
    fields: dict[str, object] = {
        "purposes": purposes or [purpose()],
        "keys": KEYS,
        "valid_from_ms": START_MS,
        "valid_to_ms": START_MS + 365 * DAY_MS,
    }
    return pb.RelyingTerms(**{**fields, **changes})


def propose(what: pb.RelyingTerms | None = None, organisation: str = BANK) -> pb.ProposeRelyingParty:
    return pb.ProposeRelyingParty(organisation=organisation, terms=terms() if what is None else what)


def confirm(rig: IdentityRig, organisation: str = BANK) -> pb.ConfirmRelyingParty:
    proposal = load_relying_proposal(rig.state.get, organisation) or pb.RelyingProposal()
    return pb.ConfirmRelyingParty(organisation=organisation, digest=proposal_digest(proposal))


def status(what: pb.Status.ValueType, organisation: str = BANK) -> pb.SetRelyingPartyStatus:
    return pb.SetRelyingPartyStatus(organisation=organisation, status=what, reason=REASON)


def registered(rig: IdentityRig, what: pb.RelyingTerms | None = None) -> pb.RelyingPartyRecord:
    """A registration by ann, confirmed by bob."""
    assert rig.code("ann@p256", propose(what)) == ""
    assert rig.code("bob@webauthn", confirm(rig)) == ""
    return record(rig)


def record(rig: IdentityRig) -> pb.RelyingPartyRecord:
    found = load_relying_party(rig.state.get, BANK)
    assert found is not None
    return found


def test_relying_party_counts_once_a_second_officer_confirmed_it(rig: IdentityRig) -> None:
    assert rig.code("ann@p256", propose()) == ""
    assert load_relying_party(rig.state.get, BANK) is None
    time_ms = rig.time_ms
    assert rig.code("bob@webauthn", confirm(rig)) == ""
    assert record(rig) == pb.RelyingPartyRecord(
        registrar="org-r", status=pb.PERSON_STATUS_ACTIVE, since_ms=time_ms, version=1, terms=terms()
    )
    assert load_relying_proposal(rig.state.get, BANK) is None


@pytest.mark.parametrize(
    ("circumstance", "signers", "code"),
    [
        ("the same officer", "ann@p256", "identity.not-on-duty"),
        ("the same officer by another key", "ann-2@webauthn", "identity.own-proposal"),
        ("a service's key", "org-r:submit", "identity.no-officer"),
        ("the organisation itself", "org-a:govern", "identity.no-officer"),
        ("an officer of another registrar", "sue@p256", "identity.nothing-proposed"),
        ("two officers", ("bob@webauthn", "eve@p256"), "identity.one-officer"),
        ("another officer of both duties", "eve@p256", ""),
    ],
)
def test_another_officer_of_the_registrar_confirms(
    rig: IdentityRig, circumstance: str, signers: str | tuple[str, ...], code: str
) -> None:
    assert rig.code("ann@p256", propose()) == ""
    assert rig.code(signers, confirm(rig)) == code, circumstance


def test_officer_confirms_only_what_stands_there(rig: IdentityRig) -> None:
    assert rig.code("bob@webauthn", confirm(rig)) == "identity.nothing-proposed"
    assert rig.code("ann@p256", propose()) == ""
    seen = confirm(rig)
    assert rig.code("bob@webauthn", pb.ConfirmRelyingParty(organisation=BANK, digest=hidden("other"))) == (
        "identity.proposal-changed"
    )
    assert rig.code("bob@webauthn", pb.WithdrawRelyingParty(organisation=BANK)) == ""
    assert rig.code("ann@p256", propose(terms(purpose(2)))) == ""
    assert rig.code("bob@webauthn", seen) == "identity.proposal-changed"


def test_only_officer_who_enrols_proposes(rig: IdentityRig) -> None:
    assert rig.code("bob@webauthn", propose()) == "identity.not-on-duty"
    assert rig.code("org-r:govern", propose()) == "identity.no-officer"


@pytest.mark.parametrize(
    ("organisation", "code"),
    [
        ("org-zz", "identity.unknown-organisation"),
        ("", "identity.unknown-organisation"),
        ("Org A", "identity.unknown-organisation"),
        ("x" * 65, "identity.unknown-organisation"),
        ("org-u", ""),
    ],
)
def test_relying_party_is_an_organisation_of_the_network(rig: IdentityRig, organisation: str, code: str) -> None:
    assert rig.code("ann@p256", propose(organisation=organisation)) == code


def test_suspended_organisation_is_neither_proposed_nor_confirmed(rig: IdentityRig) -> None:
    assert rig.code("ann@p256", propose(organisation="org-u")) == ""
    suspend = membership_pb2.Act(suspend_organisation=membership_pb2.SuspendOrganisation(id="org-u"))
    assert (
        rig.code("org-a:govern", membership_pb2.Propose(epoch=1, expires_at_ms=rig.time_ms + DAY_MS, acts=[suspend]))
        == ""
    )
    assert rig.code("bob@webauthn", confirm(rig, "org-u")) == "identity.unknown-organisation"
    assert rig.code("eve@p256", propose(organisation="org-u")) == "identity.unknown-organisation"


@pytest.mark.parametrize(
    ("circumstance", "what", "code"),
    [
        ("no purpose", terms(purposes=[]), "identity.invalid-purpose"),
        ("17 purposes", terms(*(purpose(i + 1) for i in range(17))), "identity.invalid-purpose"),
        ("16 purposes", terms(*(purpose(i + 1) for i in range(16))), ""),
        ("purposes out of order", terms(purpose(2), purpose(1)), "identity.invalid-purpose"),
        ("one number twice", terms(purpose(2), purpose(2)), "identity.invalid-purpose"),
        ("number 0", terms(purpose(0)), "identity.invalid-purpose"),
        ("number 65,536", terms(purpose(65_536)), "identity.invalid-purpose"),
        ("no name", terms(purpose(name_zh="", name_en="")), "identity.invalid-purpose"),
        ("one name", terms(purpose(name_zh="")), ""),
        ("name with a control character", terms(purpose(name_en="a\u202eb")), "identity.invalid-purpose"),
        ("no legal basis", terms(purpose(legal_basis="")), "identity.invalid-purpose"),
        ("long legal basis", terms(purpose(legal_basis="法" * 65)), "identity.invalid-purpose"),
        ("no attribute", terms(purpose(attributes=[])), "identity.invalid-attribute"),
        ("33 attributes", terms(purpose(attributes=[f"a/b{i:02}" for i in range(33)])), "identity.invalid-attribute"),
        ("attributes out of order", terms(purpose(attributes=["b/b", "a/a"])), "identity.invalid-attribute"),
        ("one attribute twice", terms(purpose(attributes=["a/a", "a/a"])), "identity.invalid-attribute"),
        ("attribute without type", terms(purpose(attributes=["birthdate"])), "identity.invalid-attribute"),
        ("attribute of another form", terms(purpose(attributes=["a/B"])), "identity.invalid-attribute"),
        ("attribute with a line end", terms(purpose(attributes=["a/b\n"])), "identity.invalid-attribute"),
        ("long attribute", terms(purpose(attributes=["a/" + "b" * 63])), "identity.invalid-attribute"),
        ("no quota", terms(purpose(per_second_max=0)), "identity.invalid-purpose"),
        ("high quota", terms(purpose(per_second_max=1_001)), "identity.invalid-purpose"),
        ("status older than a year", terms(purpose(status_age_s_max=STATUS_AGE_S_MAX + 1)), "identity.invalid-purpose"),
        ("no keys", terms(keys=[]), ""),
        ("nine keys", terms(keys=[b"\x02%032d" % i for i in range(9)]), "identity.invalid-request-key"),
        ("keys out of order", terms(keys=KEYS[::-1]), "identity.invalid-request-key"),
        ("one key twice", terms(keys=[KEYS[0]] * 2), "identity.invalid-request-key"),
        ("short key", terms(keys=[KEYS[0][:32]]), "identity.invalid-request-key"),
        ("empty key", terms(keys=[b""]), "identity.invalid-request-key"),
        ("key of another form", terms(keys=[b"\x04" + bytes(32)]), "identity.invalid-request-key"),
        (
            "ends as it begins",
            terms(valid_from_ms=START_MS + DAY_MS, valid_to_ms=START_MS + DAY_MS),
            "identity.invalid-validity",
        ),
        ("is over", terms(valid_from_ms=START_MS - 1, valid_to_ms=START_MS), "identity.invalid-validity"),
        ("three years", terms(valid_to_ms=START_MS + LIFETIME_MS_MAX), ""),
        ("longer", terms(valid_to_ms=START_MS + LIFETIME_MS_MAX + 1), "identity.validity-too-long"),
    ],
)
def test_terms_keep_to_their_bounds(rig: IdentityRig, circumstance: str, what: pb.RelyingTerms, code: str) -> None:
    before = dict(rig.state)
    assert rig.code("ann@p256", propose(what)) == code, circumstance
    assert (rig.state == before) is bool(code)


def test_largest_registration_fits_a_state_value(rig: IdentityRig) -> None:
    names = [f"{'t' * 31}/{'c' * 29}{i:03}" for i in range(32)]
    assert {len(name) for name in names} == {64}
    largest = [
        purpose(65_520 + i, name_zh="名" * 64, name_en="n" * 192, legal_basis="法" * 64, attributes=names)
        for i in range(16)
    ]
    keys = [b"\x02%032d" % i for i in range(8)]
    registered(rig, terms(*largest, keys=keys))
    assert len(rig.state[relying_party_key(BANK)]) < STATE_VALUE_BYTES_MAX - 1024


def test_second_proposal_waits_for_the_first_to_run_out(rig: IdentityRig) -> None:
    assert rig.code("ann@p256", propose()) == ""
    assert rig.code("eve@p256", propose(terms(purpose(2)))) == "identity.proposal-open"
    assert rig.code("sue@p256", propose()) == "identity.proposal-open"
    rig.height += PROPOSAL_LIFETIME_MS // BLOCK_MS
    assert rig.code("bob@webauthn", confirm(rig)) == "identity.proposal-expired"
    assert rig.code("eve@p256", propose(terms(purpose(2)))) == ""


def test_terms_change_by_two_officers_and_count_their_versions(rig: IdentityRig) -> None:
    since_ms = registered(rig).since_ms
    other = terms(purpose(1, attributes=["natural-person/age_over_18"]), keys=[])
    assert rig.code("ann@p256", propose(other)) == ""
    assert record(rig).version == 1
    assert rig.code("bob@webauthn", confirm(rig)) == ""
    assert record(rig) == pb.RelyingPartyRecord(
        registrar="org-r", status=pb.PERSON_STATUS_ACTIVE, since_ms=since_ms, version=2, terms=other
    )


def test_withdrawn_proposal_leaves_what_counts(rig: IdentityRig) -> None:
    before = registered(rig)
    assert rig.code("ann@p256", pb.WithdrawRelyingParty(organisation=BANK)) == "identity.nothing-proposed"
    assert rig.code("ann@p256", propose(terms(purpose(2)))) == ""
    assert rig.code("sue@p256", pb.WithdrawRelyingParty(organisation=BANK)) == "identity.nothing-proposed"
    assert rig.code("ann@p256", pb.WithdrawRelyingParty(organisation=BANK)) == ""
    assert record(rig) == before


def test_validity_that_is_over_at_confirmation_is_refused(rig: IdentityRig) -> None:
    assert rig.code("ann@p256", propose(terms(valid_to_ms=rig.time_ms + 5 * BLOCK_MS))) == ""
    rig.height += 5
    assert rig.code("bob@webauthn", confirm(rig)) == "identity.invalid-validity"


def test_another_registrar_touches_neither_registration_nor_its_status(rig: IdentityRig) -> None:
    registered(rig)
    assert rig.code("sue@p256", propose()) == "identity.unknown-party"
    assert rig.code("sue@p256", status(pb.STATUS_SUSPENDED)) == "identity.unknown-party"
    assert rig.code("sue@p256", status(pb.STATUS_REVOKED)) == "identity.unknown-party"


def test_while_one_registrar_proposes_no_other_does(rig: IdentityRig) -> None:
    assert rig.code("sue@p256", propose()) == ""
    assert rig.code("ann@p256", propose()) == "identity.proposal-open"
    assert rig.code("tom@p256", confirm(rig)) == ""
    assert record(rig).registrar == "org-s"
    assert rig.code("ann@p256", propose()) == "identity.unknown-party"


@pytest.mark.parametrize(
    ("circumstance", "signer", "history", "what", "code"),
    [
        ("suspended by who enrols", "ann@p256", [], pb.STATUS_SUSPENDED, ""),
        ("suspended by who only confirms", "bob@webauthn", [], pb.STATUS_SUSPENDED, "identity.not-on-duty"),
        ("suspended by a service", "org-r:submit", [], pb.STATUS_SUSPENDED, "identity.no-officer"),
        ("suspended twice", "ann@p256", [pb.STATUS_SUSPENDED], pb.STATUS_SUSPENDED, "identity.party-suspended"),
        ("reinstated by who confirms", "bob@webauthn", [pb.STATUS_SUSPENDED], pb.STATUS_REINSTATED, ""),
        ("reinstated by who enrols", "ann@p256", [pb.STATUS_SUSPENDED], pb.STATUS_REINSTATED, "identity.not-on-duty"),
        ("reinstated though active", "bob@webauthn", [], pb.STATUS_REINSTATED, "identity.party-not-suspended"),
        ("ended", "bob@webauthn", [], pb.STATUS_REVOKED, ""),
        ("ended while suspended", "bob@webauthn", [pb.STATUS_SUSPENDED], pb.STATUS_REVOKED, ""),
        ("ended by who enrols", "ann@p256", [], pb.STATUS_REVOKED, "identity.not-on-duty"),
        ("suspended though ended", "ann@p256", [pb.STATUS_REVOKED], pb.STATUS_SUSPENDED, "identity.unknown-party"),
        ("no status", "bob@webauthn", [], pb.STATUS_UNSPECIFIED, "identity.unknown-status"),
    ],
)
def test_status_follows_from_where_the_registration_stands(
    rig: IdentityRig,
    circumstance: str,
    signer: str,
    history: list[pb.Status.ValueType],
    what: pb.Status.ValueType,
    code: str,
) -> None:
    registered(rig)
    for before in history:
        assert rig.code("eve@p256", status(before)) == ""
    assert rig.code(signer, status(what)) == code, circumstance


def test_status_needs_a_reason_and_a_relying_party(rig: IdentityRig) -> None:
    registered(rig)
    unreasoned = pb.SetRelyingPartyStatus(organisation=BANK, status=pb.STATUS_SUSPENDED)
    assert rig.code("ann@p256", unreasoned) == "identity.unknown-reason"
    assert rig.code("ann@p256", status(pb.STATUS_SUSPENDED, "org-u")) == "identity.unknown-party"
    assert rig.code("ann@p256", status(pb.STATUS_SUSPENDED, "")) == "identity.unknown-organisation"


def test_suspended_one_keeps_its_suspension_through_a_change_of_terms(rig: IdentityRig) -> None:
    registered(rig)
    assert rig.code("ann@p256", status(pb.STATUS_SUSPENDED)) == ""
    changed = registered(rig, terms(purpose(2)))
    assert (changed.status, changed.reason, changed.version) == (pb.PERSON_STATUS_SUSPENDED, REASON, 2)


def test_what_was_proposed_ends_with_the_registration(rig: IdentityRig) -> None:
    registered(rig)
    assert rig.code("ann@p256", propose(terms(purpose(2)))) == ""
    seen = confirm(rig)
    assert rig.code("bob@webauthn", status(pb.STATUS_REVOKED)) == ""
    assert rig.code("bob@webauthn", seen) == "identity.nothing-proposed"


def test_ended_one_shows_no_terms_and_can_be_registered_anew_by_another(rig: IdentityRig) -> None:
    registered(rig)
    assert rig.code("bob@webauthn", status(pb.STATUS_REVOKED)) == ""
    ended = record(rig)
    assert (ended.status, ended.reason, ended.HasField("terms")) == (pb.PERSON_STATUS_REVOKED, REASON, False)
    assert rig.code("sue@p256", propose()) == ""
    assert rig.code("tom@p256", confirm(rig)) == ""
    assert (record(rig).registrar, record(rig).version, record(rig).reason) == ("org-s", 2, 0)


# ---------------------------------------------------------------- what a registration allows

COUNTS = pb.RelyingPartyRecord(
    registrar="org-r",
    status=pb.PERSON_STATUS_ACTIVE,
    version=1,
    terms=terms(purpose(1), purpose(7, attributes=["a/b"])),
)
BIRTHDATE = "natural-person/birthdate"


def changed(**changes: object) -> pb.RelyingPartyRecord:
    made = pb.RelyingPartyRecord(**changes)
    made.MergeFrom(COUNTS)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("circumstance", "registration", "number", "attributes", "at_ms", "code"),
    [
        ("all that is allowed", COUNTS, 1, [BIRTHDATE, "natural-person/family_name"], START_MS, ""),
        ("less", COUNTS, 1, [BIRTHDATE], START_MS, ""),
        ("nothing", COUNTS, 1, [], START_MS, ""),
        ("not registered", None, 1, [BIRTHDATE], START_MS, "identity.unknown-party"),
        ("only proposed", changed(status=pb.PERSON_STATUS_PROPOSED), 1, [], START_MS, "identity.unknown-party"),
        ("ended", changed(status=pb.PERSON_STATUS_REVOKED), 1, [], START_MS, "identity.unknown-party"),
        ("suspended", changed(status=pb.PERSON_STATUS_SUSPENDED), 1, [], START_MS, "identity.party-suspended"),
        ("too early", COUNTS, 1, [], START_MS - 1, "identity.party-not-valid"),
        ("last moment", COUNTS, 1, [], START_MS + 365 * DAY_MS - 1, ""),
        ("too late", COUNTS, 1, [], START_MS + 365 * DAY_MS, "identity.party-not-valid"),
        ("no such purpose", COUNTS, 2, [], START_MS, "identity.party-purpose"),
        ("purpose 0", COUNTS, 0, [], START_MS, "identity.party-purpose"),
        ("another purpose's attribute", COUNTS, 1, ["a/b"], START_MS, "identity.party-attribute"),
        ("one too many", COUNTS, 1, [BIRTHDATE, "natural-person/address"], START_MS, "identity.party-attribute"),
        ("beginning of an attribute", COUNTS, 1, ["natural-person/birth"], START_MS, "identity.party-attribute"),
    ],
)
def test_registration_allows_what_two_officers_signed_and_no_more(
    circumstance: str,
    registration: pb.RelyingPartyRecord | None,
    number: int,
    attributes: list[str],
    at_ms: int,
    code: str,
) -> None:
    refusal = allows(registration, number, attributes, at_ms)
    assert ("" if refusal is None else refusal.code) == code, circumstance


def test_request_key_counts_as_long_as_its_registration_does() -> None:
    assert signs_for(COUNTS, KEYS[0], START_MS)
    assert not signs_for(COUNTS, b"\x02" + bytes(31) + b"\x01", START_MS)
    assert not signs_for(COUNTS, KEYS[0], START_MS - 1)
    assert not signs_for(None, KEYS[0], START_MS)
    assert not signs_for(changed(status=pb.PERSON_STATUS_SUSPENDED), KEYS[0], START_MS)
    assert refused_at(COUNTS, START_MS) is None


def test_attributes_are_named_after_type_and_claim() -> None:
    assert attribute(NATURAL_PERSON, "birthdate") == BIRTHDATE
    assert attribute(MANDATE, "powers") == "mandate/powers"
    for vct, claim in ((NATURAL_PERSON, "_sd"), ("x", "birthdate"), (NATURAL_PERSON, "a/b"), (NATURAL_PERSON, "")):
        with pytest.raises(Exception, match="no attribute"):
            attribute(vct, claim)


def test_claims_of_a_purpose_stand_by_type() -> None:
    one = purpose(attributes=["legal-person/uscc", "natural-person/address", BIRTHDATE, "x/y"])
    assert claims_of(one) == {
        NATURAL_PERSON: frozenset({"address", "birthdate"}),
        LEGAL_PERSON: frozenset({"uscc"}),
    }
    assert find_purpose(COUNTS, 7) == purpose(7, attributes=["a/b"])
    assert find_purpose(COUNTS, 8) is None
