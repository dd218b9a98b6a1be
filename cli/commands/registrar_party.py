# SPDX-License-Identifier: Apache-2.0
"""`zhixin registrar party`: who may ask people for what; one officer proposes, another approves what they saw.

Each act is signed with an officer's own key, `--key`: a key file that only this officer can open.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.message import Message

from chain.codec import encode
from chain.transaction import Operation
from cli import acting
from cli.command import command, group
from cli.errors import MissingError
from cli.home import Home, HomeOption, KeyOption, OutOption, find_home
from cli.language import current, t
from cli.output import Json, emit
from cli.records import show
from cli.relying_terms import load_terms
from cli.run import run_async
from client.answers import ProvenState
from identity.pb import identity_pb2 as pb
from identity.registrations import proposal_digest
from identity.relying import refused_at
from identity.relying_rules import check_organisation, relying_party_key, relying_proposal_key

app = group(t("help.registrar.party"))

PartyArgument = Annotated[str, typer.Argument(metavar="ORGANISATION", help=t("party.option.organisation"))]


class ReasonName(StrEnum):
    """Why something is suspended, reinstated or ended."""

    NO_LONGER_TRUE = "no-longer-true"
    UNDER_INVESTIGATION = "under-investigation"
    INVESTIGATION_CLOSED = "investigation-closed"
    KEY_COMPROMISED = "key-compromised"
    HOLDER_REQUEST = "holder-request"
    ISSUED_IN_ERROR = "issued-in-error"
    SUPERSEDED = "superseded"


_REASONS: Final = {name: pb.Reason.Value("REASON_" + name.name) for name in ReasonName}
ReasonOption = Annotated[ReasonName, typer.Option("--reason", help=t("party.option.reason"))]


def reason_of(name: ReasonName) -> pb.Reason.ValueType:
    """A reason by its name on the command line."""
    return _REASONS[name]


@command(app, "propose", t("party.propose.help"))
def propose(
    organisation: PartyArgument,
    terms: Annotated[Path, typer.Argument(metavar="TERMS.toml", help=t("party.option.terms"))],
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """Propose a relying party, or other terms for one."""
    message = pb.ProposeRelyingParty(organisation=organisation, terms=load_terms(terms))
    emit(_submit(find_home(home), message, key, out), t("party.proposed", organisation=organisation))


@command(app, "approve", t("party.approve.help"))
def approve(
    organisation: PartyArgument,
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help=t("party.option.digest"))],
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """Approve what another officer proposed; from then on it counts."""
    message = pb.ConfirmRelyingParty(organisation=organisation, digest=acting.parse_hex(digest, (32,)))
    emit(_submit(find_home(home), message, key, out), t("party.approved", organisation=organisation))


@command(app, "withdraw", t("party.withdraw.help"))
def withdraw(
    organisation: PartyArgument, home: HomeOption = None, key: KeyOption = None, out: OutOption = None
) -> None:
    """Drop what is proposed."""
    message = pb.WithdrawRelyingParty(organisation=organisation)
    emit(_submit(find_home(home), message, key, out), t("party.withdrawn", organisation=organisation))


@command(app, "show", t("party.show.help"))
def show_party(organisation: PartyArgument, home: HomeOption = None) -> None:
    """What a relying party is registered for, and what is proposed, with proof."""
    registered, proposed = _read(find_home(home), organisation)
    if registered.value is None and proposed.value is None:
        raise MissingError("party.missing", t("party.missing", organisation=organisation))
    checkpoint = registered.checkpoint
    fields: dict[str, Json] = {"organisation": organisation, "height": checkpoint.height, "counts": False}
    texts = [t("party.not-registered")]
    if registered.value is not None:
        record = pb.RelyingPartyRecord.FromString(registered.value)
        refusal = refused_at(record, checkpoint.time_ms)
        fields |= {"counts": refusal is None, "registration": show(record)}
        since = acting.show_time(record.since_ms)
        texts = [t("party.counts") if refusal is None else current().refusal(refusal.code).what]
        texts.append(t("party.registration", version=record.version, since=since, registrar=record.registrar))
        texts += _terms_lines(record.terms)
    if proposed.value is not None:
        proposal = pb.RelyingProposal.FromString(proposed.value)
        digest = proposal_digest(proposal).hex()
        fields["proposal"] = show(proposal) | {"digest": digest}
        since = acting.show_time(proposal.since_ms)
        texts += ["", t("party.is-proposed", registrar=proposal.registrar, since=since), *_terms_lines(proposal.terms)]
        texts.append(t("party.digest", digest=digest))
    emit(fields, *texts)


@command(app, "suspend", t("party.suspend.help"))
def suspend(
    organisation: PartyArgument,
    reason: ReasonOption = ReasonName.UNDER_INVESTIGATION,
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """Stop a relying party at once."""
    message = _status(organisation, pb.STATUS_SUSPENDED, reason)
    emit(_submit(find_home(home), message, key, out), t("party.suspended", organisation=organisation))


@command(app, "reinstate", t("party.reinstate.help"))
def reinstate(
    organisation: PartyArgument,
    reason: ReasonOption = ReasonName.INVESTIGATION_CLOSED,
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """End a suspension."""
    message = _status(organisation, pb.STATUS_REINSTATED, reason)
    emit(_submit(find_home(home), message, key, out), t("party.reinstated", organisation=organisation))


@command(app, "end", t("party.end.help"))
def end(
    organisation: PartyArgument,
    reason: ReasonOption = ReasonName.NO_LONGER_TRUE,
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """End a registration; it takes a new proposal to come back."""
    message = _status(organisation, pb.STATUS_REVOKED, reason)
    emit(_submit(find_home(home), message, key, out), t("party.ended", organisation=organisation))


def _terms_lines(terms: pb.RelyingTerms) -> list[str]:
    """Terms as an officer reads them before approving."""
    if not terms.purposes:
        return []
    times = (acting.show_time(terms.valid_from_ms), acting.show_time(terms.valid_to_ms))
    texts = [t("party.valid", since=times[0], until=times[1])]
    texts += [t("party.key", key=key.hex()) for key in terms.keys]
    for purpose in terms.purposes:
        name = " / ".join(filter(None, (purpose.name_zh, purpose.name_en)))
        age = purpose.status_age_s_max
        texts += [
            t("party.purpose", number=purpose.number, name=name),
            "  " + t("party.basis", text=purpose.legal_basis),
            "  " + t("party.attributes", names=", ".join(purpose.attributes)),
            "  " + t("party.quota", count=purpose.per_second_max),
            "  " + (t("party.status-age", seconds=age) if age else t("party.status-any")),
        ]
        if purpose.needs_consent:
            texts.append("  " + t("party.needs-consent"))
        if purpose.emergency:
            texts.append("  " + t("party.emergency"))
    return texts


def _status(organisation: str, status: pb.Status.ValueType, reason: ReasonName) -> pb.SetRelyingPartyStatus:
    return pb.SetRelyingPartyStatus(organisation=organisation, status=status, reason=reason_of(reason))


def _submit(place: Home, message: Message, key: str | None, out: Path | None) -> dict[str, Json]:
    operation = Operation.make(f"identity.{message.DESCRIPTOR.name}", encode(message))
    return acting.submit(place, [operation], key, out=out)


def _read(place: Home, organisation: str) -> tuple[ProvenState, ProvenState]:
    check_organisation(organisation)

    async def ask() -> list[ProvenState]:
        async with place.session() as session:
            return await session.read_many([relying_party_key(organisation), relying_proposal_key(organisation)])

    registered, proposed = run_async(ask())
    return registered, proposed
