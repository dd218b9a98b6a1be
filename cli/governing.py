# SPDX-License-Identifier: Apache-2.0
"""Proposing and voting, as commands need it: the epoch is read with proof, the rest is the rules' affair."""

from collections.abc import Sequence

from chain.codec import encode
from chain.transaction import Operation
from cli import acting
from cli.home import Home
from cli.language import t
from cli.output import Json, emit
from cli.run import run_async
from client.answers import ProvenState
from client.signing import now_ms
from membership.pb import membership_pb2
from membership.state import PROPOSALS_KEY


def open_proposals(home: Home) -> list[membership_pb2.OpenProposal]:
    """The open ones, oldest first."""

    async def ask() -> ProvenState:
        async with home.session() as session:
            return await session.read(PROPOSALS_KEY)

    value = run_async(ask()).value
    return [] if value is None else list(membership_pb2.ProposalsRecord.FromString(value).open)


def propose(home: Home, acts: Sequence[membership_pb2.Act], key: str | None, *, lifetime_s: int) -> None:
    """Submit a proposal for the present epoch and show its id."""
    message = membership_pb2.Propose(epoch=_epoch(home), expires_at_ms=now_ms() + lifetime_s * 1000, acts=acts)
    fields = acting.submit(home, [Operation.make("membership.Propose", encode(message))], key, out=None)
    fields["proposal"] = fields["transaction"]
    emit(fields, *acting.words(fields), t("proposal.made", id=fields["proposal"]))


def vote(home: Home, proposal_id: bytes, key: str | None, *, withdraw: bool) -> dict[str, Json]:
    """Approve a proposal, or take the approval back."""
    epoch = _epoch(home)
    if withdraw:
        body = encode(membership_pb2.Withdraw(proposal_id=proposal_id, epoch=epoch))
        operation = Operation.make("membership.Withdraw", body)
    else:
        body = encode(membership_pb2.Approve(proposal_id=proposal_id, epoch=epoch))
        operation = Operation.make("membership.Approve", body)
    return {**acting.submit(home, [operation], key, out=None), "proposal": proposal_id.hex()}


def _epoch(home: Home) -> int:
    """The present epoch; after a closing checkpoint the one that it opens."""

    async def ask() -> int:
        async with home.session() as session:
            await session.checkpoint()
            return session.trust.epoch

    return run_async(ask())
