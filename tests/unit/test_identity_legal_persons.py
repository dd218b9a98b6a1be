# SPDX-License-Identifier: Apache-2.0
"""Legal persons: their codes, and how their public records come about, change and end."""

import pytest
from google.protobuf.message import Message

from identity.legal_persons import is_active_legal_person, legal_person_key, load_legal_person
from identity.pb import identity_pb2 as pb
from identity.registrations import PROPOSAL_LIFETIME_MS, proposal_digest
from identity.uscc import check_character, is_uscc, organisation_check_character
from tests.identity_rig import USCC, IdentityRig, hidden
from tests.rig import BLOCK_MS

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


@pytest.fixture
def rig() -> IdentityRig:
    return IdentityRig()


def propose(**changes: object) -> pb.ProposeLegalPerson:
    fields: dict[str, object] = {"uscc": USCC, "name_zh": "某某有限公司", "commitment": hidden("company")}
    return pb.ProposeLegalPerson(**{**fields, **changes})


def status(value: int, reason: int = pb.REASON_NO_LONGER_TRUE) -> pb.SetLegalPersonStatus:
    return pb.SetLegalPersonStatus(uscc=USCC, status=pb.Status.ValueType(value), reason=pb.Reason.ValueType(reason))


def confirm(rig: IdentityRig) -> pb.ConfirmLegalPerson:
    record = load_legal_person(rig.state.get, USCC)
    assert record
    return pb.ConfirmLegalPerson(uscc=USCC, digest=proposal_digest(record.proposal))


@pytest.fixture
def active(rig: IdentityRig) -> IdentityRig:
    """USCC is confirmed."""
    assert rig.code("ann@p256", propose()) == ""
    assert rig.code("bob@webauthn", confirm(rig)) == ""
    return rig


# ---------------------------------------------------------------- codes


def test_code_of_a_company_and_one_that_begins_with_a_letter_are_codes() -> None:
    assert is_uscc("91110000600037341L")
    body = "N2440604MF123456"
    nine = body[8:] + organisation_check_character(body[8:])
    code = body[:8] + nine
    assert is_uscc(code + check_character(code))


@pytest.mark.parametrize("at", range(18))
def test_code_with_any_one_character_changed_is_none(at: int) -> None:
    others = [USCC[:at] + c + USCC[at + 1 :] for c in ALPHABET if c != USCC[at]]
    assert len(others) == 30
    assert not any(is_uscc(other) for other in others)


@pytest.mark.parametrize(
    "code",
    [
        "",
        USCC[:17],
        USCC + "0",
        USCC.lower(),
        " " + USCC[1:],
        USCC + "\n",
        "I" + USCC[1:],
        "９" + USCC[1:],
        USCC[:2] + "A" + USCC[3:],
    ],
)
def test_text_of_another_form_is_no_code(code: str) -> None:
    assert not is_uscc(code)


# ---------------------------------------------------------------- records


def test_legal_person_counts_once_another_officer_confirms_it(rig: IdentityRig) -> None:
    assert rig.code("eve@p256", propose()) == ""
    assert not is_active_legal_person(rig.state.get, USCC)
    assert rig.code("eve@p256", confirm(rig)) == "identity.own-proposal"
    assert rig.code("tom@p256", confirm(rig)) == "identity.unknown-person", "another registrar's"
    outcome = rig.run(rig.sign("bob@webauthn", confirm(rig)))
    assert [key for key, _ in outcome.writes] == [b"identity/legal-person/" + USCC.encode()]
    assert load_legal_person(rig.state.get, USCC) == pb.LegalPersonRecord(
        registrar="org-r",
        status=pb.PERSON_STATUS_ACTIVE,
        since_ms=rig.time_ms - BLOCK_MS,
        name_zh="某某有限公司",
        commitment=hidden("company"),
    )


@pytest.mark.parametrize(
    ("circumstance", "changes", "code"),
    [
        ("English name", {"name_en": "Some Company Ltd"}, ""),
        ("wrong check character", {"uscc": USCC[:17] + "A"}, "identity.invalid-uscc"),
        ("no name", {"name_zh": ""}, "identity.invalid-name"),
        ("name with a direction mark", {"name_en": "a\u202eb"}, "identity.invalid-name"),
        ("name too long", {"name_en": "x" * 193}, "identity.invalid-name"),
        ("no commitment", {"commitment": b""}, "identity.invalid-commitment"),
    ],
)
def test_legal_person_is_proposed_or_refused(
    rig: IdentityRig, circumstance: str, changes: dict[str, object], code: str
) -> None:
    assert rig.code("ann@p256", propose(**changes)) == code, circumstance


def test_change_of_name_counts_when_confirmed_and_can_be_withdrawn(active: IdentityRig) -> None:
    assert active.code("ann@p256", propose(name_zh="新名")) == ""
    record = load_legal_person(active.state.get, USCC)
    assert record
    assert record.name_zh == "某某有限公司"
    assert active.code("eve@p256", propose(name_zh="再新")) == "identity.proposal-open"
    assert (
        active.code("bob@webauthn", pb.ConfirmLegalPerson(uscc=USCC, digest=bytes(32))) == "identity.proposal-changed"
    )
    assert active.code("bob@webauthn", pb.WithdrawLegalPerson(uscc=USCC)) == ""
    assert active.code("bob@webauthn", pb.WithdrawLegalPerson(uscc=USCC)) == "identity.nothing-proposed"
    assert active.code("bob@webauthn", pb.ConfirmLegalPerson(uscc=USCC)) == "identity.nothing-proposed"
    assert active.code("ann@p256", propose(name_zh="新名")) == ""
    late = confirm(active)
    active.height += PROPOSAL_LIFETIME_MS // BLOCK_MS
    assert active.code("bob@webauthn", late) == "identity.proposal-expired"
    assert active.code("ann@p256", propose(name_zh="新名")) == ""
    assert active.code("bob@webauthn", confirm(active)) == ""
    record = load_legal_person(active.state.get, USCC)
    assert record
    assert record.name_zh == "新名"


def test_withdrawn_first_proposal_leaves_no_record(rig: IdentityRig) -> None:
    assert rig.code("ann@p256", propose()) == ""
    assert rig.code("eve@p256", status(pb.STATUS_REVOKED)) == "identity.not-confirmed"
    assert rig.code("ann@p256", pb.WithdrawLegalPerson(uscc=USCC)) == ""
    assert legal_person_key(USCC) not in rig.state
    assert rig.code("ann@p256", pb.WithdrawLegalPerson(uscc=USCC)) == "identity.unknown-person"
    assert rig.code("ann@p256", pb.WithdrawLegalPerson(uscc="no code")) == "identity.invalid-uscc"


@pytest.mark.parametrize(
    ("circumstance", "history", "signers", "message", "code"),
    [
        ("suspending", [], "ann@p256", status(pb.STATUS_SUSPENDED), ""),
        ("suspending by a service", [], "org-r:submit", status(pb.STATUS_SUSPENDED), "identity.no-officer"),
        ("suspending twice", [2], "ann@p256", status(pb.STATUS_SUSPENDED), "identity.person-suspended"),
        ("reinstating", [2], "bob@webauthn", status(pb.STATUS_REINSTATED), ""),
        ("reinstating by who enrols", [2], "ann@p256", status(pb.STATUS_REINSTATED), "identity.not-on-duty"),
        ("reinstating the active", [], "eve@p256", status(pb.STATUS_REINSTATED), "identity.person-not-suspended"),
        ("dissolving", [], "bob@webauthn", status(pb.STATUS_REVOKED), ""),
        ("dissolving the suspended", [2], "bob@webauthn", status(pb.STATUS_REVOKED), ""),
        ("anything after the end", [1], "eve@p256", status(pb.STATUS_SUSPENDED), "identity.person-ended"),
        ("proposing after the end", [1], "eve@p256", propose(), "identity.person-ended"),
        ("no status", [], "eve@p256", status(0), "identity.unknown-status"),
        ("no reason", [], "eve@p256", status(2, 0), "identity.unknown-reason"),
        ("another registrar's officer", [], "sue@p256", status(pb.STATUS_SUSPENDED), "identity.unknown-person"),
        ("another registrar's proposal", [], "sue@p256", propose(), "identity.unknown-person"),
    ],
)
def test_status_of_a_legal_person_is_changed_or_refused(
    active: IdentityRig, circumstance: str, history: list[int], signers: str, message: Message, code: str
) -> None:
    for earlier in history:
        assert active.code("eve@p256", status(earlier)) == ""
    assert active.code(signers, message) == code, circumstance
    record = load_legal_person(active.state.get, USCC)
    assert record
    if isinstance(message, pb.SetLegalPersonStatus) and not code:
        assert is_active_legal_person(active.state.get, USCC) is (message.status == pb.STATUS_REINSTATED)
        assert record.since_ms == active.time_ms - BLOCK_MS
        assert record.reason == (0 if message.status == pb.STATUS_REINSTATED else message.reason)
