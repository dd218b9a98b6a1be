# SPDX-License-Identifier: Apache-2.0
"""Votes of the validators' organisations.

A proposal carries when more than two thirds of the organisations that have a validator in the serving set approve it,
each counted once whatever its number of validators. It names its epoch: in another one, or after the set changed in
the same block, nothing can be done with it any more. The approval that completes the quorum executes the acts in its
own transaction; if they cannot be done by then, that transaction fails, the approval is not recorded, and the proposal
stays open. Source: docs/protocol.md, section 5.
"""

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from membership.acts import execute_acts
from membership.authority import approvals_needed, governing_organisations
from membership.parameters import load_parameter
from membership.pb import membership_pb2 as pb
from membership.state import load_open_proposals, load_proposal, proposal_key, save_open_proposals
from membership.validators import set_is_changed
from membership.verification import VerifyPossession

ACTS_MAX = 16
"""Enough to admit an organisation with all it needs; each act may cost a pairing (2 ms) on every validator."""
PROPOSAL_BYTES_MAX = 32 * 1024
"""Half of a state value; the approvals stand beside it."""
OPEN_PER_ORGANISATION_MAX = 4
"""64 organisations' open proposals stay within one state value."""


def propose(context: Context, organisation: str, message: pb.Propose, verify_possession: VerifyPossession) -> None:
    """Open a proposal, approved by its proposer; the acts are tried on the spot and must be possible now.

    Raises:
        Refused: Who, when, how many or how large is wrong, or the acts cannot be done.
    """
    _check_vote(context, organisation, message.epoch)
    time_ms = context.block.time_ms
    lifetime_ms_max = load_parameter(context.read, pb.PARAMETER_PROPOSAL_LIFETIME_MS_MAX)
    if not time_ms < message.expires_at_ms <= time_ms + lifetime_ms_max:
        raise Refused(
            f"a proposal expires after its block and at most {lifetime_ms_max} ms later", "membership.invalid-expiry"
        )
    if not 1 <= len(message.acts) <= ACTS_MAX or message.ByteSize() > PROPOSAL_BYTES_MAX:
        raise Refused(
            f"a proposal has 1 to {ACTS_MAX} acts in at most {PROPOSAL_BYTES_MAX} bytes", "membership.proposal-size"
        )
    if load_proposal(context.read, context.transaction_id) is not None:
        raise Refused("a transaction makes one proposal", "membership.proposal-exists")
    execute_acts(context.trial(), message.acts, verify_possession)
    still_open = _prune(context)
    if sum(one.organisation == organisation for one in still_open) >= OPEN_PER_ORGANISATION_MAX:
        raise Refused(
            f"an organisation has at most {OPEN_PER_ORGANISATION_MAX} open proposals", "membership.too-many-proposals"
        )
    opened = pb.OpenProposal(
        id=context.transaction_id,
        organisation=organisation,
        epoch=message.epoch,
        expires_at_ms=message.expires_at_ms,
    )
    save_open_proposals(context, [*still_open, opened])
    record = pb.ProposalRecord(organisation=organisation, proposal=message)
    _approve(context, context.transaction_id, record, organisation, verify_possession)


def approve(context: Context, organisation: str, message: pb.Approve, verify_possession: VerifyPossession) -> None:
    """Approve an open proposal, and execute it if that completes the quorum.

    Raises:
        Refused: Who or when is wrong, the organisation approved before, or the acts cannot be done (any more).
    """
    _check_vote(context, organisation, message.epoch)
    record = _open_proposal(context, message.proposal_id)
    if organisation in record.approvals:
        raise Refused("the organisation approved this proposal already", "membership.already-approved")
    _approve(context, message.proposal_id, record, organisation, verify_possession)


def withdraw(context: Context, organisation: str, message: pb.Withdraw) -> None:
    """Take an approval back; the proposer's ends the proposal.

    Raises:
        Refused: Who or when is wrong, or the organisation did not approve.
    """
    _check_vote(context, organisation, message.epoch)
    record = _open_proposal(context, message.proposal_id)
    if organisation not in record.approvals:
        raise Refused("the organisation did not approve this proposal", "membership.not-approved")
    if organisation == record.organisation:
        _close(context, message.proposal_id)
        return
    record.approvals.remove(organisation)
    context.write(proposal_key(message.proposal_id), encode(record))


def _check_vote(context: Context, organisation: str, epoch: int) -> None:
    """Check that an organisation votes, now."""
    if epoch != context.block.validators.epoch:
        raise Refused(
            f"the act names epoch {epoch}; this is epoch {context.block.validators.epoch}", "membership.wrong-epoch"
        )
    if set_is_changed(context):
        raise Refused("the validator set changed in this block: the epoch is over", "membership.set-changed")
    if organisation not in governing_organisations(context.block.validators.validators):
        raise Refused("the organisation has no validator in this epoch", "membership.not-voting")


def _open_proposal(context: Context, proposal_id: bytes) -> pb.ProposalRecord:
    """A proposal that can still be voted on."""
    record = load_proposal(context.read, proposal_id)
    if record is None:
        raise Refused("there is no open proposal of this id", "membership.unknown-proposal")
    if record.proposal.epoch != context.block.validators.epoch:
        raise Refused("the proposal was made in an earlier epoch", "membership.wrong-epoch")
    if record.proposal.expires_at_ms < context.block.time_ms:
        raise Refused("the proposal has expired", "membership.proposal-expired")
    return record


def _approve(
    context: Context,
    proposal_id: bytes,
    record: pb.ProposalRecord,
    organisation: str,
    verify_possession: VerifyPossession,
) -> None:
    """Add an approval; execute at the quorum."""
    approvals = sorted((*record.approvals, organisation))
    voting = governing_organisations(context.block.validators.validators)
    if len(approvals) < approvals_needed(len(voting)):
        del record.approvals[:]
        record.approvals.extend(approvals)
        context.write(proposal_key(proposal_id), encode(record))
        return
    execute_acts(context, record.proposal.acts, verify_possession)
    _close(context, proposal_id)


def _close(context: Context, proposal_id: bytes) -> None:
    """Forget a proposal; the log keeps it."""
    context.delete(proposal_key(proposal_id))
    save_open_proposals(context, [one for one in load_open_proposals(context.read) if one.id != proposal_id])


def _prune(context: Context) -> list[pb.OpenProposal]:
    """Forget the proposals that nobody can approve any more; those still open."""
    still_open = []
    for one in load_open_proposals(context.read):
        if one.epoch == context.block.validators.epoch and one.expires_at_ms >= context.block.time_ms:
            still_open.append(one)
        else:
            context.delete(proposal_key(one.id))
    return still_open
