# SPDX-License-Identifier: Apache-2.0
"""What officers sign about a card: its keys bound, stopped, given back, ended. No act says whose card it is.

Binding takes two officers: one proposes the commitments of the card's keys, another confirms exactly these. A card that
replaces a lost one ends the lost one's keys in the same change. Any other goes on working until its holder has the new
one in hand: see `cards_replacing`.
"""

from collections.abc import Sequence
from typing import Final

from google.protobuf.message import Message

from chain.codec import encode
from chain.transaction import Operation
from identity.api.desk import cards_problems as kinds
from identity.api.desk.base import DeskContext
from identity.api.desk.cards import Opened, Reason, own
from identity.api.desk.cards_history import Signed, note, sentences, words
from identity.api.desk.cards_life import BOUND_KEYS, COUNTS, CardState
from identity.pb import identity_pb2 as pb
from identity.registrations import proposal_digest
from service.problems import Problem
from service.sign_in.sessions import Officer

REASONS: Final = {
    Reason.LOST: pb.REASON_KEY_COMPROMISED,
    Reason.DAMAGED: pb.REASON_SUPERSEDED,
    Reason.NAME_CHANGED: pb.REASON_SUPERSEDED,
    Reason.EXPIRING: pb.REASON_SUPERSEDED,
    Reason.FIRST: pb.REASON_HOLDER_REQUEST,
}
"""Why keys end, as the ledger names it."""


def reference_of(card_id: str) -> str:
    """What the desk calls a card in acts and on paper; the words of an act outlive persons, and name none."""
    return f"K-{card_id[:8].upper()}"


def change_of(card: Opened, replaced: Opened | None, record: pb.PersonRecord) -> pb.Change:
    """What is proposed to become of the holder's registration.

    Args:
        card: Personalised.
        replaced: The card that it replaces; keys of a lost one that still stand end.
        record: The registration.
    """
    standing = {key.commitment for key in record.keys}
    lost = replaced.commitments if replaced is not None and card.reason is Reason.LOST else []
    ends = [one for one in lost if one in standing]
    binds = [pb.NewKey(purpose=key.purpose, commitment=key.commitment) for key in card.keys]
    return pb.Change(binds=binds, ends=ends)


def proposal(card: Opened, replaced: Opened | None, registration: bytes, record: pb.PersonRecord | None) -> Signed:
    """The act by which one officer proposes to bind a card's keys.

    Raises:
        Problem: The card is not personalised, or its holder's registration does not count.
    """
    if card.state is not CardState.PERSONALISED or not card.keys:
        raise Problem(kinds.STEP)
    if record is None or record.status != pb.PERSON_STATUS_ACTIVE:
        raise Problem(kinds.NOT_REGISTERED)
    change = change_of(card, replaced, record)
    said = [words("card.act-propose", card=reference_of(card.id))]
    if change.ends:
        said.append(words("card.act-ends", card=reference_of(card.replaces or "")))
    said.append(words("card.act-propose-next"))
    return [_operation(pb.ProposeChange(id=registration, change=change))], sentences(*said)


def is_proposed(card: Opened, replaced: Opened | None, record: pb.PersonRecord | None) -> bool:
    """Whether exactly this card's keys are proposed and wait for a second officer."""
    return (
        record is not None
        and record.HasField("proposal")
        and record.proposal.change == change_of(card, replaced, record)
    )


def confirmation(card: Opened, replaced: Opened | None, registration: bytes, record: pb.PersonRecord | None) -> Signed:
    """The act by which another officer confirms exactly this card's keys.

    Raises:
        Problem: Nothing is proposed, or something else than this card.
    """
    if record is None or not is_proposed(card, replaced, record):
        raise Problem(kinds.NOT_PROPOSED)
    message = pb.Confirm(id=registration, digest=proposal_digest(record.proposal))
    said = [words("card.act-confirm", card=reference_of(card.id))]
    if record.proposal.change.ends:
        said.append(words("card.act-ends", card=reference_of(card.replaces or "")))
    return [_operation(message)], sentences(*said)


def withdrawal(card: Opened, registration: bytes) -> Signed:
    """The act by which a proposal is dropped, as when the card was spoilt meanwhile."""
    return [_operation(pb.Withdraw(id=registration))], sentences(words("card.act-withdraw", card=reference_of(card.id)))


def suspension(card: Opened, registration: bytes, record: pb.PersonRecord | None) -> Sequence[Operation]:
    """What stops a card's keys at once; any key of the registrar signs it.

    Raises:
        Problem: No key of the card counts.
    """
    counting = _standing(card, record, suspended=False)
    if card.state not in COUNTS or not counting:
        raise Problem(kinds.STEP)
    return _statuses(registration, counting, pb.STATUS_SUSPENDED, pb.REASON_HOLDER_REQUEST)


def suspension_words(card: Opened) -> Signed:
    """The words of `suspension`, where an officer signs it; operations are the caller's."""
    return [], sentences(words("card.act-suspend", card=reference_of(card.id)))


def reinstatement(
    card: Opened, registration: bytes, record: pb.PersonRecord | None, method: pb.ProofingMethod.ValueType
) -> Signed:
    """The act by which a suspended card counts again: its holder is there, and was proofed.

    Raises:
        Problem: The card is not suspended, or its holder has the card that replaces it.
    """
    stopped = _standing(card, record, suspended=True)
    if card.state is not CardState.SUSPENDED or card.is_ending or not stopped:
        raise Problem(kinds.STEP)
    operations = _statuses(registration, stopped, pb.STATUS_REINSTATED, pb.REASON_HOLDER_REQUEST, method)
    said = [words("card.act-reinstate", card=reference_of(card.id)), words("card.act-present")]
    return operations, sentences(*said)


def revocation(card: Opened, registration: bytes, record: pb.PersonRecord | None, reason: Reason) -> Signed:
    """The act by which a card's keys end for good.

    Raises:
        Problem: No key of the card stands on the ledger.
    """
    held = [*_standing(card, record, suspended=False), *_standing(card, record, suspended=True)]
    if card.state not in BOUND_KEYS or not held:
        raise Problem(kinds.STEP)
    operations = _statuses(registration, held, pb.STATUS_REVOKED, REASONS[reason])
    return operations, sentences(words("card.act-revoke", card=reference_of(card.id)), words("card.act-for-good"))


def note_act(desk: DeskContext, officer: Officer, card_id: str, step: str, act_id: str) -> None:
    """Write down that an act was prepared; whether it was signed and done, the ledger says."""
    with desk.store.write() as session:
        row = own(session, officer.organisation, card_id, held=True)
        note(desk, session, row, step, row.state, officer.staff_id, act_id=act_id)
        desk.record(session, officer, "card.act-prepared", row.id)


def _standing(card: Opened, record: pb.PersonRecord | None, *, suspended: bool) -> list[bytes]:
    """Commitments of a card's keys that stand on the ledger, stopped or not."""
    if record is None:
        return []
    mine = set(card.commitments)
    return [key.commitment for key in record.keys if key.commitment in mine and key.suspended is suspended]


def _statuses(
    registration: bytes,
    keys: Sequence[bytes],
    status: pb.Status.ValueType,
    reason: pb.Reason.ValueType,
    method: pb.ProofingMethod.ValueType = pb.PROOFING_METHOD_UNSPECIFIED,
) -> list[Operation]:
    return [
        _operation(pb.SetPersonStatus(id=registration, key=key, status=status, reason=reason, proofing_method=method))
        for key in keys
    ]


def _operation(message: Message) -> Operation:
    return Operation.make(f"identity.{message.DESCRIPTOR.name}", encode(message))
