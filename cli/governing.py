# SPDX-License-Identifier: Apache-2.0
"""Proposing and voting, as commands need it: epoch and outcome are read with proof, the rest is the rules' affair."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from chain.codec import encode
from chain.transaction import Operation
from cli import acting
from cli.home import Home
from cli.language import t
from cli.output import emit
from cli.run import run_async
from client.answers import ProvenState, ProvenTransaction
from client.session import Session
from client.signing import now_ms
from membership.authority import approvals_needed, governing_organisations
from membership.pb import membership_pb2
from membership.state import PROPOSALS_KEY, proposal_key

LifetimeOption = Annotated[int, typer.Option("--lifetime", min=60, help=t("proposal.option.lifetime"))]


def open_proposals(home: Home) -> list[membership_pb2.OpenProposal]:
    """Those that can still be approved, oldest first; state also holds those that the next proposal sweeps away."""

    async def ask() -> tuple[ProvenState, int]:
        async with home.session() as session:
            return await session.read(PROPOSALS_KEY), session.trust.epoch

    state, epoch = run_async(ask())
    kept = membership_pb2.ProposalsRecord.FromString(state.value or b"").open
    return [one for one in kept if one.epoch == epoch and one.expires_at_ms >= state.checkpoint.time_ms]


def propose(home: Home, acts: Sequence[membership_pb2.Act], key: str | None, *, lifetime_s: int) -> None:
    """Submit a proposal for the present epoch; show its id and how many approvals it has."""
    expires_at_ms = now_ms() + lifetime_s * 1000

    def message(epoch: int) -> Operation:
        return Operation.make(
            "membership.Propose", encode(membership_pb2.Propose(epoch=epoch, expires_at_ms=expires_at_ms, acts=acts))
        )

    _act(home, key, message, None, withdraw=False)


def vote(home: Home, proposal_id: bytes, key: str | None, *, withdraw: bool) -> None:
    """Approve a proposal, or take the approval back; show what became of it."""

    def message(epoch: int) -> Operation:
        if withdraw:
            body = encode(membership_pb2.Withdraw(proposal_id=proposal_id, epoch=epoch))
            return Operation.make("membership.Withdraw", body)
        body = encode(membership_pb2.Approve(proposal_id=proposal_id, epoch=epoch))
        return Operation.make("membership.Approve", body)

    _act(home, key, message, proposal_id, withdraw=withdraw)


def _act(
    home: Home, key: str | None, operation: Callable[[int], Operation], proposal_id: bytes | None, *, withdraw: bool
) -> None:
    """Submit an act on a proposal, made for the present epoch, and show the proposal's state right after.

    Raises:
        Refused: The rules refuse it.
    """
    signer = home.signer(key)

    async def go() -> tuple[ProvenTransaction, bytes, ProvenState | None, int]:
        async with home.session() as session:
            epoch = await _epoch(session)
            voting = governing_organisations(session.trust.anchor.validators.validators)
            proven = await session.submit_one(session.sign([operation(epoch)], [signer]))
            named = proposal_id or proven.id
            state = None if proven.failed is not None else await session.read(proposal_key(named))
            return proven, named, state, approvals_needed(len(voting))

    proven, named, state, needed = run_async(go())
    fields = {**acting.finished(proven, out=None), "proposal": named.hex()}
    assert state is not None, "a transaction that failed is raised"
    words = [*acting.words(fields), t("proposal.id", id=named.hex())]
    if state.value is not None:
        approvals = list(membership_pb2.ProposalRecord.FromString(state.value).approvals)
        fields |= {"state": "open", "approvals": approvals, "approvals_needed": needed}
        words.append(t("proposal.counted", count=len(approvals), needed=needed, organisations=", ".join(approvals)))
        words.append(t("proposal.next", id=named.hex()))
    elif withdraw:
        fields["state"] = "withdrawn"
        words.append(t("proposal.withdrawn"))
    else:
        fields["state"] = "carried"
        words.append(t("proposal.carried"))
    emit(fields, *words)


async def _epoch(session: Session) -> int:
    """The present epoch; after a closing checkpoint the one that it opens."""
    await session.checkpoint()
    return session.trust.epoch
