# SPDX-License-Identifier: Apache-2.0
"""A log as its keeper has it: the rules take its drafts, a failed attempt leaves no hole, objections are used once."""

import pytest

from credit.events import load_event, slot_key
from credit.keeper import Kept, LogFull
from credit.pb import credit_pb2 as pb
from credit.report import EVENTS_MAX
from credit.slots import content_commitment, link_commitment
from tests.credit_rig import KEEPER, CreditRig, X, Y, content


@pytest.fixture
def rig() -> CreditRig:
    return CreditRig()


def test_drafts_follow_one_another_in_the_log(rig: CreditRig) -> None:
    kept = Kept.begin()
    for i in range(3):
        draft = kept.draft(101, 1, content(20_000 + i))
        assert rig.code((X, KEEPER), draft.message) == ""
        kept = kept.took(draft)
    assert len(set(kept.opened.slots)) == 4
    for slot, opening in zip(kept.opened.slots, kept.opened.openings, strict=False):
        record = load_event(rig.state.get, slot)
        assert record is not None
        assert record.next == link_commitment(opening.next_slot, opening.next_salt)
    assert load_event(rig.state.get, kept.free) is None


def test_attempt_that_the_ledger_refuses_leaves_no_hole(rig: CreditRig) -> None:
    kept = Kept.begin()
    assert rig.code((Y, KEEPER), kept.draft(201, 1, content()).message) == "credit.not-source"
    draft = kept.draft(101, 1, content())
    assert draft.message.slot == kept.opened.first_slot
    assert rig.code((X, KEEPER), draft.message) == ""
    assert kept.took(draft).opened.slots[0] == kept.opened.first_slot


def test_objection_is_used_once_and_replaced(rig: CreditRig) -> None:
    kept = Kept.begin()
    draft = kept.draft(101, 1, content())
    assert rig.code((X, KEEPER), draft.message) == ""
    kept = kept.took(draft)
    first, kept = kept.objection(0)
    assert rig.code(KEEPER, first) == ""
    slot = kept.opened.first_slot
    # an event that was upheld would not be objected to again; one that was corrected is
    corrected = pb.AnswerEvent(slot=slot, status=pb.EVENT_STATUS_CORRECTED, content=bytes(32))
    assert rig.code(X, corrected) == ""
    assert rig.code(KEEPER, first) == "credit.wrong-proof"
    second, _ = kept.objection(0)
    assert rig.code(KEEPER, second) == ""


def test_correction_opens_what_the_ledger_then_commits_to(rig: CreditRig) -> None:
    kept = Kept.begin()
    draft = kept.draft(101, 1, content())
    assert rig.code((X, KEEPER), draft.message) == ""
    minor = content(severity="minor")
    message, kept = kept.took(draft).correction(0, minor)
    assert rig.code(X, message) == ""
    record = load_event(rig.state.get, kept.opened.first_slot)
    assert record is not None
    assert record.content == content_commitment(minor, kept.opened.openings[0].content_salt)
    assert slot_key(kept.opened.first_slot) in rig.state


def test_log_that_no_report_could_prove_takes_nothing_more() -> None:
    kept = Kept.begin()
    draft = kept.draft(101, 1, content())
    full = Kept(
        type(kept.opened)(kept.opened.first_slot, kept.opened.log_salt, (draft.opening,) * EVENTS_MAX), kept.free
    )
    with pytest.raises(LogFull):
        full.draft(101, 1, content())


def test_secrets_of_a_log_are_not_printed() -> None:
    kept = Kept.begin()
    draft = kept.draft(101, 1, content())
    for secret in (kept.free, kept.opened.log_salt, draft.objection, draft.opening.content_salt):
        assert repr(secret) not in repr(kept.took(draft))
    assert repr(draft.objection) not in repr(draft)
