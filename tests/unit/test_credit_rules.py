# SPDX-License-Identifier: Apache-2.0
"""Credit's rules: the catalogue, sources with rights, one log for each person, events step by step, decisions."""

import pytest
from google.protobuf.message import Message

from credit import model
from credit.decisions import load_decision
from credit.events import slot_key
from credit.pb import credit_pb2 as pb
from credit.scorecards import scorecard_key
from identity.commitments import anchor_of
from membership.pb import membership_pb2
from tests.credit_rig import AUTHORITY, HONOUR, KEEPER, PENALTY, CreditRig, X, Y, log, objection, record, slot
from tests.identity_rig import hidden, key_pb, random_id

ACTIVE, DISPUTED, CORRECTED = pb.EVENT_STATUS_ACTIVE, pb.EVENT_STATUS_DISPUTED, pb.EVENT_STATUS_CORRECTED
REPAIRED, EXPIRED, WITHDRAWN = pb.EVENT_STATUS_REPAIRED, pb.EVENT_STATUS_EXPIRED, pb.EVENT_STATUS_WITHDRAWN
OPEN, KEPT, BROKEN = pb.EVENT_STATUS_OPEN, pb.EVENT_STATUS_KEPT, pb.EVENT_STATUS_BROKEN


@pytest.fixture
def rig() -> CreditRig:
    return CreditRig()


def answer(status: int, content: bytes = b"", i: int = 0) -> pb.AnswerEvent:
    return pb.AnswerEvent(slot=slot(i), status=pb.EventStatus.ValueType(status), content=content)


def revoke(name: str) -> membership_pb2.RevokeKey:
    return membership_pb2.RevokeKey(key=key_pb(name))


def objects(i: int = 0, turn: int = 0) -> pb.Object:
    return pb.Object(slot=slot(i), proof=objection(i, turn), next_objection=anchor_of(objection(i, turn + 1)))


# ---------------------------------------------------------------- catalogue

NO_DAYS = {"publication_days_min": 0, "publication_days_max": 0}
OPPOSITE = {**HONOUR, **NO_DAYS, "class": 101, "version": 2}
SHRUNK = {"publication_days_min": 999, "publication_days_max": 998}


@pytest.mark.parametrize(
    ("circumstance", "changes", "code"),
    [
        ("next version", {}, ""),
        ("retired", {"retired": True}, ""),
        ("the same version again", {"version": 1}, "credit.wrong-version"),
        ("a version left out", {"version": 3}, "credit.wrong-version"),
        ("class 0", {"class": 0}, "credit.invalid-class"),
        ("class 65536", {"class": 65_536}, "credit.invalid-class"),
        ("no kind", {"kind": 0}, "credit.invalid-class"),
        ("unknown kind", {"kind": 9}, "credit.invalid-class"),
        ("turned into its opposite", OPPOSITE, "credit.class-meaning"),
        ("negative without severity", {"severity": 1}, "credit.invalid-class"),
        ("unknown severity", {"severity": 9}, "credit.invalid-class"),
        ("negative pledge", {"kind": 2}, "credit.invalid-class"),
        ("no dimension", {"dimension": 0}, "credit.invalid-class"),
        ("dimension 17", {"dimension": 17}, "credit.invalid-class"),
        ("no name", {"name_zh": ""}, "credit.invalid-class"),
        ("no legal basis", {"legal_basis": ""}, "credit.no-legal-basis"),
        ("legal basis of 193 bytes", {"legal_basis": "l" * 193}, "credit.no-legal-basis"),
        ("legal basis with a control character", {"legal_basis": "a\u202eb"}, "credit.no-legal-basis"),
        ("published too long", {"publication_days_max": 1_097}, "credit.invalid-publication"),
        ("published too short", {"publication_days_min": 364}, "credit.invalid-publication"),
        ("shortest above longest", SHRUNK, "credit.invalid-publication"),
        ("effects out of order", {"effects": [3, 2]}, "credit.invalid-class"),
        ("effect twice", {"effects": [2, 2]}, "credit.invalid-class"),
    ],
)  # fmt: skip
def test_class_is_put_or_refused(rig: CreditRig, circumstance: str, changes: dict[str, object], code: str) -> None:
    assert rig.code(AUTHORITY, pb.PutClass(**{**PENALTY, "version": 2, **changes})) == code


def test_positive_class_carries_no_burden_and_is_not_published(rig: CreditRig) -> None:
    for effect in (pb.EFFECT_PUBLICATION, pb.EFFECT_BURDEN):
        assert (
            rig.code(AUTHORITY, pb.PutClass(**{**HONOUR, "version": 2, "effects": [effect]})) == "credit.invalid-class"
        )


def test_only_the_authority_says_what_the_catalogue_and_the_scorecards_are(rig: CreditRig) -> None:
    for message in (
        pb.PutClass(**{**PENALTY, "version": 2}),
        pb.GrantSource(organisation="org-y", classes=[201]),
        pb.PutScorecard(scorecard=1, version=1, document=b"{}"),
    ):
        assert rig.code(X, message) == "credit.not-authority"
        assert rig.code("org-c:submit", message) == "credit.not-authority"


@pytest.mark.parametrize(
    ("circumstance", "organisation", "classes", "code"),
    [
        ("known classes", "org-y", [101, 201, 301], ""),
        ("none: no source any more", "org-y", [], ""),
        ("no such organisation", "org-z", [101], "credit.unknown-organisation"),
        ("unknown class", "org-y", [999], "credit.unknown-class"),
        ("out of order", "org-y", [201, 101], "credit.invalid-classes"),
        ("twice", "org-y", [101, 101], "credit.invalid-classes"),
        ("257", "org-y", list(range(1, 258)), "credit.invalid-classes"),
    ],
)
def test_source_is_granted_or_refused(
    rig: CreditRig, circumstance: str, organisation: str, classes: list[int], code: str
) -> None:
    assert rig.code(AUTHORITY, pb.GrantSource(organisation=organisation, classes=classes)) == code
    if code == "" and not classes:
        assert rig.code((Y, KEEPER), record(0)) == "credit.not-source"


def test_scorecard_changed_without_a_version_is_refused_and_the_old_one_stands(rig: CreditRig) -> None:
    document = model.scorecard().document
    changed = document.replace(b'"base":600', b'"base":599')
    assert changed != document
    assert rig.code(AUTHORITY, pb.PutScorecard(scorecard=1, version=1, document=document)) == ""
    for version in (0, 1, 3):  # the same number again, an older one, one left out
        put = pb.PutScorecard(scorecard=1, version=version, document=changed)
        assert rig.code(AUTHORITY, put) == "credit.wrong-version"
    assert rig.state[scorecard_key(1, 1)] == document
    assert rig.code(AUTHORITY, pb.PutScorecard(scorecard=1, version=2, document=changed)) == ""
    assert (rig.state[scorecard_key(1, 1)], rig.state[scorecard_key(1, 2)]) == (document, changed)


# ---------------------------------------------------------------- one transaction of many operations


@pytest.mark.parametrize(
    ("circumstance", "signers", "between", "code"),
    [
        ("nothing", [KEEPER, X], [], ""),
        ("its class granted anew", [KEEPER, X, AUTHORITY], [pb.GrantSource(organisation="org-x", classes=[301])], ""),
        (
            "its rights ended",
            [KEEPER, X, AUTHORITY],
            [pb.GrantSource(organisation="org-x", classes=[101])],
            "credit.not-source",
        ),
        (
            "another source given the class",
            [KEEPER, X, AUTHORITY],
            [pb.GrantSource(organisation="org-c", classes=[301])],
            "credit.ambiguous-source",
        ),
        (
            "a new version of its class",
            [KEEPER, X, AUTHORITY],
            [pb.PutClass(**{**HONOUR, "version": 2})],
            "credit.wrong-version",
        ),
        ("its key revoked", [KEEPER, X, "org-x:govern"], [revoke(X)], "credit.not-source"),
        ("the registrar's key revoked", [KEEPER, X, "org-r:govern"], [revoke(KEEPER)], "credit.no-keeper"),
    ],
)
def test_second_event_of_a_transaction_is_judged_by_what_stands_since_the_first(
    rig: CreditRig, circumstance: str, signers: list[str], between: list[Message], code: str
) -> None:
    assert rig.code(signers, record(0, 301), *between, record(1, 301)) == code, circumstance
    assert (slot_key(slot(0)) in rig.state) == (not code), "all or nothing"


# ---------------------------------------------------------------- logs


def test_registrar_cannot_open_a_second_log_for_a_person(rig: CreditRig) -> None:
    assert rig.code(KEEPER, pb.OpenLog(log=log("a"))) == "credit.second-log", "nobody is registered"
    rig.enrolled(person=random_id(1))
    assert rig.code(KEEPER, pb.OpenLog(log=log("a"))) == ""
    assert rig.code(KEEPER, pb.OpenLog(log=log("b"))) == "credit.second-log"
    rig.enrolled(person=random_id(2))
    assert rig.code(KEEPER, pb.OpenLog(log=log("a"))) == "credit.log-used"
    assert rig.code(KEEPER, pb.OpenLog(log=log("b"))) == ""
    assert rig.code(KEEPER, pb.OpenLog(log=log("c"))) == "credit.second-log"


def test_log_that_was_closed_is_never_opened_again_and_leaves_its_place(rig: CreditRig) -> None:
    rig.enrolled(person=random_id(1))
    assert rig.code(KEEPER, pb.OpenLog(log=log("a"))) == ""
    assert rig.code("org-s:submit", pb.CloseLog(log=log("a"))) == "credit.unknown-log"
    assert rig.code(KEEPER, pb.CloseLog(log=log("b"))) == "credit.unknown-log"
    assert rig.code(KEEPER, pb.CloseLog(log=log("a"))) == ""
    assert rig.code(KEEPER, pb.CloseLog(log=log("a"))) == "credit.unknown-log"
    assert rig.code(KEEPER, pb.OpenLog(log=log("a"))) == "credit.log-used"
    assert rig.code(KEEPER, pb.OpenLog(log=log("b"))) == ""


def test_only_a_registrar_opens_logs(rig: CreditRig) -> None:
    assert rig.code("org-x:submit", pb.OpenLog(log=log())) == "credit.no-keeper"
    assert rig.code(("org-r:submit", "org-s:submit"), pb.OpenLog(log=log())) == "credit.no-keeper"
    assert rig.code(KEEPER, pb.OpenLog(log=bytes(31))) == "credit.invalid-hash"


# ---------------------------------------------------------------- events


def test_event_writes_its_slot_alone(rig: CreditRig) -> None:
    outcome = rig.run(rig.sign((X, KEEPER), record(0)))
    assert [key for key, _ in outcome.writes] == [b"credit/slot/" + slot(0).hex().encode()]
    assert (rig.event(slot(0)).status, rig.event(slot(0)).source) == (ACTIVE, "org-x")
    assert rig.code((X, KEEPER), record(1, 201)) == ""
    assert rig.event(slot(1)).status == OPEN


@pytest.mark.parametrize(
    ("circumstance", "signers", "changes", "code"),
    [
        ("source outside its rights", (Y, KEEPER), {"class": 201}, "credit.not-source"),
        ("class outside the catalogue", (X, KEEPER), {"class": 999}, "credit.not-source"),
        ("source alone", (X,), {}, "credit.no-keeper"),
        ("registrar alone", (KEEPER,), {}, "credit.not-source"),
        ("source with a key that submits", ("org-x:submit", KEEPER), {}, "credit.not-source"),
        ("two sources", (X, Y, KEEPER), {}, "credit.ambiguous-source"),
        ("two registrars", (X, KEEPER, "org-s:submit"), {}, "credit.no-keeper"),
        ("old version", (X, KEEPER), {"class_version": 0}, "credit.wrong-version"),
        ("version to come", (X, KEEPER), {"class_version": 2}, "credit.wrong-version"),
        ("short slot", (X, KEEPER), {"slot": bytes(31)}, "credit.invalid-hash"),
        ("text for a commitment", (X, KEEPER), {"content": "李四欠债".encode()}, "credit.invalid-hash"),
        ("no link", (X, KEEPER), {"next": b""}, "credit.invalid-hash"),
        ("no anchor", (X, KEEPER), {"objection": b""}, "credit.invalid-hash"),
    ],
)
def test_event_is_refused(
    rig: CreditRig, circumstance: str, signers: tuple[str, ...], changes: dict[str, object], code: str
) -> None:
    assert rig.code(signers, record(0, **changes)) == code


def test_slot_is_taken_once(rig: CreditRig) -> None:
    assert rig.code((X, KEEPER), record(0)) == ""
    assert rig.code((X, KEEPER), record(0)) == "credit.slot-taken"
    assert rig.code((Y, KEEPER), record(0, 301)) == "credit.slot-taken"


def test_retired_class_takes_no_new_events_and_old_ones_are_still_answered(rig: CreditRig) -> None:
    assert rig.code((X, KEEPER), record(0)) == ""
    assert rig.code(AUTHORITY, pb.PutClass(**{**PENALTY, "version": 2, "retired": True})) == ""
    assert rig.code((X, KEEPER), record(1, class_version=1)) == "credit.wrong-version"
    assert rig.code((X, KEEPER), record(1, class_version=2)) == "credit.retired-class"
    assert rig.code(X, answer(REPAIRED)) == ""


def test_no_field_of_what_is_said_of_a_person_holds_text() -> None:
    for kind in (pb.RecordEvent, pb.AnswerEvent, pb.Object, pb.OpenLog, pb.CloseLog, pb.Decide, pb.Review):
        assert [f.name for f in kind.DESCRIPTOR.fields if f.type == f.TYPE_STRING] == []


STEPS = {
    ACTIVE: {CORRECTED, REPAIRED, EXPIRED, WITHDRAWN},
    CORRECTED: {CORRECTED, REPAIRED, EXPIRED, WITHDRAWN},
    OPEN: {KEPT, BROKEN, WITHDRAWN},
    KEPT: {WITHDRAWN},
    BROKEN: {WITHDRAWN},
    REPAIRED: set[int](),
    EXPIRED: set[int](),
    WITHDRAWN: set[int](),
}
REACH = {
    ACTIVE: [],
    CORRECTED: [CORRECTED],
    OPEN: [],
    KEPT: [KEPT],
    BROKEN: [BROKEN],
    REPAIRED: [REPAIRED],
    EXPIRED: [EXPIRED],
    WITHDRAWN: [WITHDRAWN],
}


@pytest.mark.parametrize("before", STEPS)
@pytest.mark.parametrize("after", range(11))
def test_source_answers_only_what_follows(rig: CreditRig, before: int, after: int) -> None:
    pledge = before in {OPEN, KEPT, BROKEN}
    assert rig.code((X, KEEPER), record(0, 201 if pledge else 101)) == ""
    for status in REACH[before]:
        assert rig.code(X, answer(status, hidden("first") if status == CORRECTED else b"")) == ""
    expected = "" if after in STEPS[before] else "credit.wrong-step" if STEPS[before] else "credit.final"
    assert rig.code(X, answer(after, hidden("second") if after == CORRECTED else b"")) == expected


def test_only_the_source_that_recorded_an_event_answers_for_it(rig: CreditRig) -> None:
    assert rig.code((X, KEEPER), record(0)) == ""
    assert rig.code(Y, answer(WITHDRAWN)) == "credit.other-source"
    assert rig.code(KEEPER, answer(WITHDRAWN)) == "credit.other-source"
    assert rig.code("org-x:submit", answer(WITHDRAWN)) == "credit.other-source"
    assert rig.code(X, answer(WITHDRAWN, i=1)) == "credit.unknown-event"


def test_correction_brings_other_content_and_counts_itself(rig: CreditRig) -> None:
    assert rig.code((X, KEEPER), record(0)) == ""
    assert rig.code(X, answer(CORRECTED)) == "credit.correction-content"
    assert rig.code(X, answer(CORRECTED, rig.event(slot(0)).content)) == "credit.correction-content"
    assert rig.code(X, answer(REPAIRED, hidden("x"))) == "credit.correction-content"
    assert rig.code(X, answer(CORRECTED, bytes(31))) == "credit.invalid-hash"
    for i in range(1, 3):
        assert rig.code(X, answer(CORRECTED, hidden(i))) == ""
        assert (rig.event(slot(0)).content, rig.event(slot(0)).corrections) == (hidden(i), i)


# ---------------------------------------------------------------- objections


@pytest.mark.parametrize("upheld", [ACTIVE, CORRECTED, OPEN, KEPT, BROKEN])
def test_objection_freezes_an_event_until_its_source_answers(rig: CreditRig, upheld: int) -> None:
    assert rig.code((X, KEEPER), record(0, 201 if upheld in {OPEN, KEPT, BROKEN} else 101)) == ""
    for status in REACH[upheld]:
        assert rig.code(X, answer(status, hidden("first") if status == CORRECTED else b"")) == ""
    assert rig.code("org-s:submit", objects()) == "", "through whatever service"
    assert (rig.event(slot(0)).status, rig.event(slot(0)).before) == (DISPUTED, upheld)
    assert rig.code("org-s:submit", objects(turn=1)) == "credit.disputed"
    assert rig.code(X, answer(REPAIRED)) == "credit.wrong-step"
    assert rig.code(X, answer(upheld)) == ""
    assert rig.event(slot(0)).status == upheld
    assert rig.code("org-s:submit", objects(turn=1)) == "credit.upheld"


def test_event_that_its_source_upheld_is_not_frozen_again_by_another_objection(rig: CreditRig) -> None:
    """A company on a list objects anew each time its source has answered, and never stands on the list."""
    assert rig.code((X, KEEPER), record(0)) == ""
    assert rig.code("org-s:submit", objects()) == ""
    assert rig.code(X, answer(ACTIVE)) == ""
    assert rig.event(slot(0)).upheld
    before = dict(rig.state)
    assert rig.code("org-s:submit", objects(turn=1)) == "credit.upheld"
    assert {k: v for k, v in rig.state.items() if k in before} == before
    assert rig.code(Y, answer(WITHDRAWN)) == "credit.other-source"
    assert rig.code(AUTHORITY, answer(WITHDRAWN)) == "", "the authority still hears whom it is about"


@pytest.mark.parametrize(
    ("number", "objected_at", "said", "content"),
    [
        (101, ACTIVE, CORRECTED, hidden("new")),
        (101, CORRECTED, CORRECTED, hidden("new")),
        (201, OPEN, KEPT, b""),
        (201, OPEN, BROKEN, b""),
    ],
)
def test_event_of_which_its_source_says_something_new_after_upholding_it_is_objected_to_again(
    rig: CreditRig, number: int, objected_at: int, said: int, content: bytes
) -> None:
    assert rig.code((X, KEEPER), record(0, number)) == ""
    for status in REACH[objected_at]:
        assert rig.code(X, answer(status, hidden("first"))) == ""
    assert rig.code(KEEPER, objects()) == ""
    assert rig.code(X, answer(objected_at)) == ""
    assert rig.code(KEEPER, objects(turn=1)) == "credit.upheld"
    assert rig.code(X, answer(said, content)) == ""
    assert not rig.event(slot(0)).upheld
    assert rig.code(KEEPER, objects(turn=0)) == "credit.wrong-proof", "an objection is made once"
    assert rig.code(KEEPER, objects(turn=1)) == ""


@pytest.mark.parametrize(("objected_at", "said"), [(KEPT, BROKEN), (BROKEN, KEPT)])
def test_pledge_that_is_found_otherwise_upon_an_objection_is_not_upheld(
    rig: CreditRig, objected_at: int, said: int
) -> None:
    assert rig.code((X, KEEPER), record(0, 201)) == ""
    assert rig.code(X, answer(objected_at)) == ""
    assert rig.code(KEEPER, objects()) == ""
    assert rig.code(X, answer(said)) == ""
    assert rig.code(KEEPER, objects(turn=1)) == ""


def test_dispute_after_repair_is_refused(rig: CreditRig) -> None:
    assert rig.code((X, KEEPER), record(0)) == ""
    assert rig.code(X, answer(REPAIRED)) == ""
    assert rig.code(KEEPER, objects()) == "credit.final"


@pytest.mark.parametrize(
    ("circumstance", "changes", "code"),
    [
        ("somebody else's proof", {"proof": objection(1)}, "credit.wrong-proof"),
        ("the anchor itself", {"proof": anchor_of(objection(0))}, "credit.wrong-proof"),
        ("no proof", {"proof": b""}, "credit.invalid-hash"),
        ("no next anchor", {"next_objection": b""}, "credit.invalid-hash"),
        ("the same anchor again", {"next_objection": anchor_of(objection(0))}, "credit.wrong-proof"),
        ("another slot", {"slot": slot(5)}, "credit.unknown-event"),
    ],
)
def test_objection_is_refused(rig: CreditRig, circumstance: str, changes: dict[str, bytes], code: str) -> None:
    assert rig.code((X, KEEPER), record(0)) == ""
    message = objects()
    for name, value in changes.items():
        setattr(message, name, value)
    assert rig.code(KEEPER, message) == code


def test_dispute_ends_in_a_correction_or_a_withdrawal(rig: CreditRig) -> None:
    for i, status in enumerate((CORRECTED, WITHDRAWN)):
        assert rig.code((X, KEEPER), record(i)) == ""
        assert rig.code(KEEPER, objects(i)) == ""
        assert rig.code(X, answer(status, hidden("right") if status == CORRECTED else b"", i)) == ""
        assert rig.event(slot(i)).status == status


# ---------------------------------------------------------------- decisions

BENEFIT: dict[str, object] = {"id": hidden("d"), "outcome": 1, "benefit": 7, "commitment": hidden("why")}


@pytest.mark.parametrize(
    ("circumstance", "signers", "changes", "code"),
    [
        ("service grants", (X,), {}, ""),
        ("human grants", ("judge@p256",), {}, ""),
        ("service refuses", (X,), {"outcome": 2}, "credit.no-human"),
        ("human refuses", ("judge@p256",), {"outcome": 2}, ""),
        ("burden by a service", (X,), {"outcome": 3, "benefit": 0, "class": 101}, "credit.no-human"),
        ("burden by a human", ("chief@webauthn",), {"outcome": 3, "benefit": 0, "class": 101}, ""),
        ("burden without the list", ("judge@p256",), {"outcome": 3, "benefit": 0, "class": 301}, "credit.not-on-list"),
        ("burden by an unknown class", ("judge@p256",), {"outcome": 3, "benefit": 0, "class": 9}, "credit.not-on-list"),
        ("burden without a class", ("judge@p256",), {"outcome": 3, "benefit": 0}, "credit.not-on-list"),
        ("burden by closing a benefit", ("judge@p256",), {"outcome": 3, "class": 101}, "credit.not-on-list"),
        ("benefit for a class", (X,), {"class": 101}, "credit.invalid-benefit"),
        ("benefit 0", (X,), {"benefit": 0}, "credit.invalid-benefit"),
        ("unknown outcome", (X,), {"outcome": 4}, "credit.unknown-outcome"),
        ("no outcome", (X,), {"outcome": 0}, "credit.unknown-outcome"),
        ("short id", (X,), {"id": bytes(16)}, "credit.invalid-hash"),
        ("key that does not attest", ("org-x:submit",), {}, "credit.no-decider"),
        ("two organisations", (X, Y), {}, "credit.no-decider"),
        ("two humans", ("judge@p256", "chief@webauthn"), {}, "credit.no-decider"),
    ],
)
def test_decision_is_recorded_or_refused(
    rig: CreditRig, circumstance: str, signers: tuple[str, ...], changes: dict[str, object], code: str
) -> None:
    assert rig.code(signers, pb.Decide(**{**BENEFIT, **changes})) == code


def test_decision_is_recorded_once(rig: CreditRig) -> None:
    assert rig.code(X, pb.Decide(**BENEFIT)) == ""
    assert rig.code(X, pb.Decide(**BENEFIT)) == "credit.id-used"


GRANTED, REFUSED, BURDEN = pb.OUTCOME_BENEFIT_GRANTED, pb.OUTCOME_BENEFIT_REFUSED, pb.OUTCOME_BURDEN
LIFTED = pb.OUTCOME_UNSPECIFIED
ON_LIST: dict[str, object] = {**BENEFIT, "outcome": BURDEN, "benefit": 0, "class": 101}


def review(outcome: pb.Outcome.ValueType, number: int = 1) -> pb.Review:
    return pb.Review(id=hidden("d"), outcome=outcome, number=number)


def test_refused_benefit_is_reviewed_by_another_human_once_it_is_lifted(rig: CreditRig) -> None:
    assert rig.code("judge@p256", pb.Decide(**{**BENEFIT, "outcome": REFUSED})) == ""
    assert rig.code("judge@p256", review(GRANTED)) == "credit.own-decision"
    assert rig.code(X, review(GRANTED)) == "credit.no-human"
    assert rig.code("ann@p256", review(GRANTED)) == "credit.unknown-decision", "of another organisation"
    for outcome in (BURDEN, LIFTED):
        assert rig.code("chief@webauthn", review(outcome)) == "credit.unknown-outcome"
    assert rig.code("chief@webauthn", review(GRANTED)) == ""
    assert rig.code("chief@webauthn", review(GRANTED, 2)) == "credit.reviewed"


def test_upheld_decision_is_reviewed_again_and_a_lifted_one_is_not(rig: CreditRig) -> None:
    assert rig.code("judge@p256", pb.Decide(**ON_LIST)) == ""
    for number in (1, 2, 3):
        assert rig.code("chief@webauthn", review(BURDEN, number)) == ""
        record = load_decision(rig.state.get, hidden("d"))
        assert record is not None
        assert (record.outcome, record.reviews) == (BURDEN, number)
    assert rig.code("chief@webauthn", review(GRANTED, 4)) == "credit.unknown-outcome"
    assert rig.code("chief@webauthn", review(LIFTED, 4)) == ""
    for outcome in (BURDEN, LIFTED):
        assert rig.code("chief@webauthn", review(outcome, 5)) == "credit.reviewed"


def test_review_that_is_not_the_next_one_is_refused(rig: CreditRig) -> None:
    assert rig.code("judge@p256", pb.Decide(**ON_LIST)) == ""
    assert rig.code("chief@webauthn", review(BURDEN)) == ""
    for number in (0, 1, 3, 2**32 - 1):
        assert rig.code("chief@webauthn", review(LIFTED, number)) == "credit.wrong-review"


def test_whoever_decided_does_not_review_a_later_time_either(rig: CreditRig) -> None:
    assert rig.code("judge@p256", pb.Decide(**ON_LIST)) == ""
    assert rig.code("chief@webauthn", review(BURDEN)) == ""
    for outcome in (BURDEN, LIFTED):
        assert rig.code("judge@p256", review(outcome, 2)) == "credit.own-decision"


def test_benefit_that_a_human_granted_is_not_taken_back_by_a_review(rig: CreditRig) -> None:
    assert rig.code("judge@p256", pb.Decide(**BENEFIT)) == ""
    assert rig.code("chief@webauthn", review(REFUSED)) == "credit.reviewed"


def test_nothing_that_a_service_granted_is_reviewed(rig: CreditRig) -> None:
    assert rig.code(X, pb.Decide(**BENEFIT)) == ""
    assert rig.code("judge@p256", review(REFUSED)) == "credit.unknown-decision"


def test_flood_of_a_rival_with_bad_events_stops_where_the_authority_takes_the_rights_away(rig: CreditRig) -> None:
    assert rig.code((X, KEEPER), record(0), record(1), record(2)) == ""
    assert rig.code(AUTHORITY, pb.GrantSource(organisation="org-x", classes=[301])) == ""
    assert rig.code((X, KEEPER), record(3)) == "credit.not-source"
    assert rig.code(AUTHORITY, answer(REPAIRED)) == "credit.other-source", "the authority only withdraws"
    assert rig.code(AUTHORITY, answer(WITHDRAWN)) == ""
    assert rig.code(X, answer(WITHDRAWN, i=1)) == "", "a source answers for what it recorded, also after its rights"
