# SPDX-License-Identifier: Apache-2.0
"""`zhixin proposal`: what members vote on: organisations, roles, keys, validators, parameters."""

from pathlib import Path
from typing import Annotated

import typer

from cli import acting, output
from cli.acts import load_acts
from cli.command import command, group
from cli.errors import MissingError
from cli.governing import LifetimeOption, open_proposals, propose, vote
from cli.home import HomeOption, KeyOption, find_home
from cli.language import t
from cli.output import emit, emit_table
from cli.records import lines, show
from cli.run import run_async
from client.answers import ProvenState
from membership.pb import membership_pb2
from membership.state import proposal_key

app = group(t("help.proposal"))

IdArgument = Annotated[str, typer.Argument(metavar="ID", help=t("proposal.option.id"))]


@command(app, "list", t("proposal.list.help"))
def list_proposals(home: HomeOption = None) -> None:
    """Those that can still be approved, oldest first."""
    found = [show(each) for each in open_proposals(find_home(home))]
    rows = [
        [
            *(str(each.get(name, "")) for name in ("id", "organisation", "epoch")),
            acting.show_time(int(str(each.get("expires_at_ms", 0)))),
        ]
        for each in found
    ]
    columns = ["id", t("column.organisation"), t("column.epoch"), t("column.expires")]
    emit_table({"proposals": found}, columns, rows, empty=t("proposal.none"))


@command(app, "show", t("proposal.show.help"))
def show_proposal(proposal: IdArgument, home: HomeOption = None) -> None:
    """One open proposal with its acts and approvals."""
    place = find_home(home)
    key = proposal_key(acting.parse_hex(proposal, (32,)))

    async def ask() -> ProvenState:
        async with place.session() as session:
            return await session.read(key)

    state = run_async(ask())
    if state.value is None:
        raise MissingError("proposal.missing", t("proposal.missing", id=proposal))
    fields: dict[str, output.Json] = show(membership_pb2.ProposalRecord.FromString(state.value))
    emit({"id": proposal, **fields}, *lines(fields))


@command(app, "create", t("proposal.create.help"))
def create(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.json…", help=t("proposal.option.file"))],
    home: HomeOption = None,
    key: KeyOption = None,
    lifetime: LifetimeOption = 86_400,
) -> None:
    """Propose the acts of all these files together: they are carried out as a whole or not at all."""
    propose(find_home(home), load_acts(files), key, lifetime_s=lifetime)


@command(app, "approve", t("proposal.approve.help"))
def approve(proposal: IdArgument, home: HomeOption = None, key: KeyOption = None) -> None:
    """Approve; the approval that completes the quorum carries the proposal out."""
    vote(find_home(home), acting.parse_hex(proposal, (32,)), key, withdraw=False)


@command(app, "withdraw", t("proposal.withdraw.help"))
def withdraw(proposal: IdArgument, home: HomeOption = None, key: KeyOption = None) -> None:
    """Take back one's own approval; the proposer's withdrawal ends the proposal."""
    vote(find_home(home), acting.parse_hex(proposal, (32,)), key, withdraw=True)
