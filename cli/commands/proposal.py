# SPDX-License-Identifier: Apache-2.0
"""`zhixin proposal`: what members vote on: organisations, roles, keys, validators, parameters."""

import json
from pathlib import Path
from typing import Annotated

import typer

from cli import acting, output
from cli.command import command, group
from cli.errors import InputError, MissingError
from cli.governing import open_proposals, propose, vote
from cli.home import HomeOption, KeyOption, find_home, read_file
from cli.language import t
from cli.output import emit, emit_table
from cli.records import lines, message_of, show
from cli.run import run_async
from client.answers import ProvenState
from membership.pb import membership_pb2
from membership.state import proposal_key

app = group(t("help.proposal"))

IdArgument = Annotated[str, typer.Argument(metavar="ID", help=t("proposal.option.id"))]
LifetimeOption = Annotated[int, typer.Option("--lifetime", min=60, help=t("proposal.option.lifetime"))]
PROPOSAL_BYTES_MAX = 256 * 1024


@command(app, "list", t("proposal.list.help"))
def list_proposals(home: HomeOption = None) -> None:
    """Open proposals, oldest first."""
    found = [show(each) for each in open_proposals(find_home(home))]
    rows = [[str(each.get(name, "")) for name in ("id", "organisation", "epoch")] for each in found]
    for row, each in zip(rows, found, strict=True):
        row.append(acting.show_time(int(str(each.get("expires_at_ms", 0)))))
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
    file: Annotated[Path, typer.Argument(metavar="FILE.json", help=t("proposal.option.file"))],
    home: HomeOption = None,
    key: KeyOption = None,
    lifetime: LifetimeOption = 86_400,
) -> None:
    """Propose the acts in a file: a list of objects such as {"grant_role": {"organisation": …, "role": …}}."""
    try:
        items = json.loads(read_file(file, PROPOSAL_BYTES_MAX))
    except (ValueError, RecursionError) as error:
        raise InputError("tx.file", t("tx.file", path=file, text=error)) from None
    acts = []
    for item in items if isinstance(items, list) else [items]:
        act = message_of(membership_pb2.Act, item if isinstance(item, dict) else {"": item}, "Act")
        assert isinstance(act, membership_pb2.Act)
        acts.append(act)
    propose(find_home(home), acts, key, lifetime_s=lifetime)


@command(app, "approve", t("proposal.approve.help"))
def approve(proposal: IdArgument, home: HomeOption = None, key: KeyOption = None) -> None:
    """Approve; the approval that completes the quorum carries the proposal out."""
    fields = vote(find_home(home), acting.parse_hex(proposal, (32,)), key, withdraw=False)
    emit(fields, *acting.words(fields))


@command(app, "withdraw", t("proposal.withdraw.help"))
def withdraw(proposal: IdArgument, home: HomeOption = None, key: KeyOption = None) -> None:
    """Take back one's own approval; the proposer's withdrawal ends the proposal."""
    fields = vote(find_home(home), acting.parse_hex(proposal, (32,)), key, withdraw=True)
    emit(fields, *acting.words(fields))
