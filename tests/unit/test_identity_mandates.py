# SPDX-License-Identifier: Apache-2.0
"""Mandates: recorded by an officer, accepted by both sides, ended by either, and each refusal."""

import pytest

from identity.commitments import anchor_of
from identity.mandates import AMOUNT_FEN_MAX, counts, is_chain, load_mandate, mandate_key
from identity.pb import identity_pb2 as pb
from identity.registrations import proposal_digest
from tests.identity_rig import USCC, IdentityRig, accepts, hidden, mandate, number, random_id, register_tag, secret
from tests.rig import BLOCK_MS, START_MS

ID = random_id("mandate 1")
DAY_MS = 86_400_000
NOW_MS = START_MS + 60_000
PRINCIPAL, AGENT = pb.SIDE_PRINCIPAL, pb.SIDE_AGENT


@pytest.fixture
def rig() -> IdentityRig:
    return IdentityRig()


def accept(side: int, what: object = 1, proof: bytes | None = None) -> pb.AcceptMandate:
    name = "principal" if side == PRINCIPAL else "agent"
    proof = accepts(name, what) if proof is None else proof
    return pb.AcceptMandate(id=random_id(f"mandate {what}"), side=pb.Side.ValueType(side), proof=proof)


def end(side: str, what: object = 1) -> pb.EndMandate:
    return pb.EndMandate(id=random_id(f"mandate {what}"), proof=secret(side, what))


def is_counting(rig: IdentityRig, what: object = 1, ahead_ms: int = 0) -> bool:
    record = load_mandate(rig.state.get, random_id(f"mandate {what}"))
    return counts(rig.state.get, record, rig.time_ms - BLOCK_MS + ahead_ms)


def standing(rig: IdentityRig, what: object = 1, **changes: object) -> pb.MandateRecord:
    """A mandate that both sides have accepted."""
    assert rig.code("ann@p256", mandate(what, rig.time_ms, **changes)) == ""
    for side in (PRINCIPAL, AGENT):
        assert rig.code("org-a:submit", accept(side, what)) == ""
    record = load_mandate(rig.state.get, random_id(f"mandate {what}"))
    assert record
    return record


def enrol_company(rig: IdentityRig) -> None:
    company = pb.ProposeLegalPerson(uscc=USCC, name_zh="某公司", commitment=hidden("company"))
    assert rig.code("ann@p256", company) == ""
    record = pb.LegalPersonRecord.FromString(rig.state[f"identity/legal-person/{USCC}".encode()])
    confirm = pb.ConfirmLegalPerson(uscc=USCC, digest=proposal_digest(record.proposal))
    assert rig.code("bob@webauthn", confirm) == ""


@pytest.mark.parametrize("order", [(PRINCIPAL, AGENT), (AGENT, PRINCIPAL)])
def test_mandate_counts_once_both_sides_have_accepted(rig: IdentityRig, order: tuple[int, int]) -> None:
    outcome = rig.run(rig.sign("ann@p256", mandate(1, rig.time_ms)))
    assert [key for key, _ in outcome.writes] == [mandate_key(ID)]
    for side in order:
        assert not is_counting(rig)
        assert rig.code("org-a:submit", accept(side)) == "", "through whatever service"
    assert is_counting(rig)
    assert rig.code("org-a:submit", accept(order[0])) == "identity.mandate-accepted"


@pytest.mark.parametrize("side", ["principal", "agent"])
@pytest.mark.parametrize("accepted", [0, 1, 2])
def test_either_side_ends_a_mandate_for_good(rig: IdentityRig, side: str, accepted: int) -> None:
    assert rig.code("ann@p256", mandate(1, rig.time_ms)) == ""
    for one in (PRINCIPAL, AGENT)[:accepted]:
        assert rig.code("org-a:submit", accept(one)) == ""
    assert rig.code("org-a:submit", end(side)) == ""
    assert load_mandate(rig.state.get, ID) == pb.MandateRecord(
        registrar=register_tag(1).registrar, officer=number("ann"), ended_at_ms=rig.time_ms - BLOCK_MS
    )
    assert not is_counting(rig)
    for message in (accept(PRINCIPAL), accept(AGENT), pb.EndMandate(id=ID)):
        assert rig.code(("org-a:submit", "ann@p256"), message) == "identity.mandate-over"
    assert rig.code("ann@p256", mandate(1, rig.time_ms)) == "identity.id-used"


@pytest.mark.parametrize("side", ["principal", "agent"])
@pytest.mark.parametrize("accepted", [0, 1, 2])
def test_acceptance_relayed_as_an_end_is_refused_and_then_accepts(rig: IdentityRig, side: str, accepted: int) -> None:
    assert rig.code("ann@p256", mandate(1, rig.time_ms)) == ""
    for one in (PRINCIPAL, AGENT)[:accepted]:
        assert rig.code("org-a:submit", accept(one)) == ""
    stolen = pb.EndMandate(id=ID, proof=accepts(side, 1))
    assert rig.code("org-r:submit", stolen) == "identity.wrong-proof"
    for one in (PRINCIPAL, AGENT)[accepted:]:
        assert rig.code("org-a:submit", accept(one)) == ""
    assert is_counting(rig)


def test_end_relayed_as_an_acceptance_still_ends_through_another_submitter(rig: IdentityRig) -> None:
    assert rig.code("ann@p256", mandate(1, rig.time_ms)) == ""
    for side, name in ((PRINCIPAL, "principal"), (AGENT, "agent")):
        assert rig.code("org-r:submit", accept(side, proof=anchor_of(secret(name, 1)))) == ""
    assert rig.code("org-a:submit", end("principal")) == ""
    assert not is_counting(rig)


def test_officer_ends_a_mandate_and_nobody_else_does_without_a_secret(rig: IdentityRig) -> None:
    standing(rig)
    assert rig.code("org-r:submit", pb.EndMandate(id=ID)) == "identity.no-officer"
    assert rig.code("sue@p256", pb.EndMandate(id=ID)) == "identity.unknown-mandate"
    wrong = [accepts("principal", 1), accepts("agent", 1), bytes(32), bytes(31), secret("principal", 2)]
    for proof in wrong:
        assert rig.code("ann@p256", pb.EndMandate(id=ID, proof=proof)) == "identity.wrong-proof"
    assert is_counting(rig)
    assert rig.code("bob@webauthn", pb.EndMandate(id=ID)) == ""


def test_mandate_counts_within_its_validity_only(rig: IdentityRig) -> None:
    record = standing(rig, valid_from_ms=START_MS, valid_to_ms=START_MS + DAY_MS)
    for time_ms, expected in (
        (START_MS - 1, False),
        (START_MS, True),
        (START_MS + DAY_MS - 1, True),
        (START_MS + DAY_MS, False),
    ):
        assert counts(rig.state.get, record, time_ms) is expected


@pytest.mark.parametrize(
    ("circumstance", "changes", "code"),
    [
        ("all powers that can be delegated", {"may_delegate": True, "powers": [1, 2, 3, 4, 5]}, ""),
        ("largest amount", {"amount_fen_max": AMOUNT_FEN_MAX}, ""),
        ("larger amount", {"amount_fen_max": AMOUNT_FEN_MAX + 1}, "identity.invalid-limit"),
        ("id of 17 bytes", {"id": bytes(17)}, "identity.invalid-id"),
        ("id of a registration", {"id": random_id(1)}, "identity.id-used"),
        ("no kind", {"kind": 0}, "identity.unknown-mandate-kind"),
        ("unknown kind", {"kind": 9}, "identity.unknown-mandate-kind"),
        ("no commitment", {"commitment": b""}, "identity.invalid-commitment"),
        ("no scope", {"scopes": []}, "identity.invalid-powers"),
        ("unspecified scope", {"scopes": [0, 1]}, "identity.invalid-powers"),
        ("unknown scope", {"scopes": [99]}, "identity.invalid-powers"),
        ("scope twice", {"scopes": [3, 3]}, "identity.invalid-powers"),
        ("no power", {"powers": []}, "identity.invalid-powers"),
        ("powers out of order", {"powers": [2, 1]}, "identity.invalid-powers"),
        ("validity that is over", {"valid_from_ms": 1, "valid_to_ms": START_MS}, "identity.invalid-validity"),
        ("no validity", {"valid_from_ms": NOW_MS, "valid_to_ms": NOW_MS}, "identity.invalid-validity"),
        ("a century", {"valid_to_ms": NOW_MS + 36_600 * DAY_MS}, "identity.validity-too-long"),
        ("anchor of 31 bytes", {"agent_anchor": bytes(31)}, "identity.invalid-anchor"),
        ("one anchor for both", {"agent_anchor": bytes(32), "principal_anchor": bytes(32)}, "identity.invalid-anchor"),
        ("person by code", {"legal_person": USCC.encode()}, "identity.principal-named"),
        ("company without code", {"kind": 1}, "identity.invalid-uscc"),
        ("company with a wrong code", {"kind": 1, "legal_person": b"9" * 18}, "identity.invalid-uscc"),
        ("company with bytes", {"kind": 1, "legal_person": b"\xff" * 18}, "identity.invalid-uscc"),
        ("company not enrolled", {"kind": 1, "legal_person": USCC.encode()}, "identity.principal-not-active"),
    ],
)
def test_mandate_is_recorded_or_refused(
    rig: IdentityRig, circumstance: str, changes: dict[str, object], code: str
) -> None:
    rig.enrolled()
    assert rig.code("ann@p256", mandate(1, rig.time_ms, **changes)) == code, circumstance


@pytest.mark.parametrize(
    ("circumstance", "message", "code"),
    [
        ("the other side's proof", accept(PRINCIPAL, proof=accepts("agent", 1)), "identity.wrong-proof"),
        ("the anchor itself", accept(AGENT, proof=anchor_of(accepts("agent", 1))), "identity.wrong-proof"),
        ("the secret, which ends", accept(AGENT, proof=secret("agent", 1)), "identity.wrong-proof"),
        ("no proof", accept(AGENT, proof=b""), "identity.wrong-proof"),
        ("no side", accept(0), "identity.unknown-side"),
        ("unknown side", accept(3), "identity.unknown-side"),
        ("unknown mandate", accept(AGENT, 2), "identity.unknown-mandate"),
        ("malformed id", pb.AcceptMandate(id=b"x", side=AGENT), "identity.invalid-id"),
    ],
)
def test_acceptance_is_refused(rig: IdentityRig, circumstance: str, message: pb.AcceptMandate, code: str) -> None:
    assert rig.code("ann@p256", mandate(1, rig.time_ms)) == ""
    assert rig.code(("ann@p256", "org-r:submit"), message) == code, circumstance


def test_acceptance_after_the_validity_is_refused(rig: IdentityRig) -> None:
    assert rig.code("ann@p256", mandate(1, rig.time_ms)) == ""
    rig.height += 3600
    assert rig.code("org-a:submit", accept(AGENT)) == "identity.mandate-over"


@pytest.mark.parametrize("kind", [pb.MANDATE_KIND_MINOR, pb.MANDATE_KIND_WARD])
def test_second_officer_accepts_for_a_minor_or_a_ward(rig: IdentityRig, kind: int) -> None:
    assert rig.code("eve@p256", mandate(1, rig.time_ms, kind=kind)) == ""
    for_ward = accept(PRINCIPAL, proof=b"")
    assert rig.code("org-a:submit", accept(PRINCIPAL)) == "identity.wrong-proof"
    assert rig.code("org-r:submit", for_ward) == "identity.no-officer"
    assert rig.code("eve@p256", for_ward) == "identity.own-proposal"
    assert rig.code("sue@p256", for_ward) == "identity.unknown-mandate"
    assert rig.code("bob@webauthn", for_ward) == ""
    assert rig.code("org-a:submit", accept(AGENT)) == ""
    assert is_counting(rig)
    assert rig.code("org-a:submit", pb.EndMandate(id=ID, proof=accepts("principal", 1))) == "identity.wrong-proof"
    assert rig.code("org-a:submit", end("principal")) == ""


def test_mandate_of_a_company_counts_while_the_company_does(rig: IdentityRig) -> None:
    enrol_company(rig)
    standing(rig, kind=pb.MANDATE_KIND_LEGAL_PERSON, legal_person=USCC.encode())
    assert is_counting(rig)
    for status, expected in ((pb.STATUS_SUSPENDED, False), (pb.STATUS_REINSTATED, True), (pb.STATUS_REVOKED, False)):
        change = pb.SetLegalPersonStatus(uscc=USCC, status=status, reason=pb.REASON_NO_LONGER_TRUE)
        assert rig.code("eve@p256", change) == ""
        assert is_counting(rig) is expected
    late = mandate(2, rig.time_ms, kind=pb.MANDATE_KIND_LEGAL_PERSON, legal_person=USCC.encode())
    assert rig.code("ann@p256", late) == "identity.principal-not-active"


@pytest.mark.parametrize(
    ("circumstance", "outer", "inner", "expected"),
    [
        ("the same", {}, {}, True),
        ("less", {}, {"scopes": [pb.SCOPE_TAX], "powers": [pb.POWER_VIEW], "amount_fen_max": 99}, True),
        ("a scope under all", {"scopes": [pb.SCOPE_GENERAL]}, {}, True),
        ("not to be delegated", {"may_delegate": False}, {}, False),
        ("another scope", {}, {"scopes": [pb.SCOPE_FOOD]}, False),
        ("all scopes", {}, {"scopes": [pb.SCOPE_GENERAL]}, False),
        ("another power", {}, {"powers": [pb.POWER_VIEW, pb.POWER_PAY]}, False),
        ("more money", {}, {"amount_fen_max": 101}, False),
        ("not yet valid", {}, {"valid_from_ms": NOW_MS + DAY_MS, "valid_to_ms": NOW_MS + 2 * DAY_MS}, False),
    ],
)
def test_delegated_mandate_gives_no_more_than_the_one_before(
    rig: IdentityRig, circumstance: str, outer: dict[str, object], inner: dict[str, object], expected: bool
) -> None:
    first = standing(rig, 1, **{"may_delegate": True, "amount_fen_max": 100, **outer})
    second = standing(rig, 2, **{"amount_fen_max": 100, **inner})
    assert is_chain(rig.state.get, [first, second], rig.time_ms) is expected, circumstance
    assert is_chain(rig.state.get, [first], rig.time_ms)
    assert not is_chain(rig.state.get, [first] * 5, rig.time_ms)
    assert not is_chain(rig.state.get, [], rig.time_ms)
    assert rig.code("org-a:submit", end("agent", 1)) == ""
    ended = load_mandate(rig.state.get, ID)
    assert ended
    assert not is_chain(rig.state.get, [ended, second], rig.time_ms), "a delegated one never outlives the first"
