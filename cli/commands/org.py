# SPDX-License-Identifier: Apache-2.0
"""`zhixin org`: organisations and their keys, with proof."""

from pathlib import Path
from typing import Annotated

import typer

from chain.pb import ledger_pb2
from chain.signing import Scheme, Signer
from cli import output
from cli.acts import save_act
from cli.command import command, group
from cli.errors import MissingError
from cli.home import Home, HomeOption, find_home, keys_home, public_signer
from cli.language import t
from cli.output import emit, emit_table
from cli.records import lines, show
from cli.run import run_async
from client.answers import ProvenState
from membership.pb import membership_pb2
from membership.state import VALIDATORS_KEY, keyring_key, organisation_key, signer_key

app = group(t("help.org"))


@command(app, "list", t("org.list.help"))
def list_organisations(home: HomeOption = None) -> None:
    """Those that genesis names and those that have a validator, as they stand now; others are shown by name."""
    place = find_home(home)
    section = place.genesis().sections.get("membership", {})
    listed = section.get("organisations")
    names = [str(each["id"]) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    (serving,) = _read(place, [VALIDATORS_KEY])
    validators = membership_pb2.ValidatorsRecord.FromString(serving.value or b"").validators
    names = list(dict.fromkeys([*names, *(validator.organisation for validator in validators)]))
    found = _read(place, [organisation_key(name) for name in names])
    organisations = [show(membership_pb2.OrganisationRecord.FromString(s.value)) for s in found if s.value is not None]
    rows = [
        [str(o.get("id")), str(o.get("name_zh", "")), str(o.get("name_en", "")), _joined(o.get("roles")), _status(o)]
        for o in organisations
    ]
    columns = [
        t("column.organisation"),
        t("column.name-zh"),
        t("column.name-en"),
        t("column.roles"),
        t("column.status"),
    ]
    emit_table({"organisations": organisations}, columns, rows, empty=t("org.none"))


@command(app, "show", t("org.show.help"))
def show_organisation(
    organisation: Annotated[str, typer.Argument(metavar="ID", help=t("org.option.id"))], home: HomeOption = None
) -> None:
    """One organisation and its keys."""
    place = find_home(home)
    record, keyring = _read(place, [organisation_key(organisation), keyring_key(organisation)])
    if record.value is None:
        raise MissingError("org.missing", t("org.missing", id=organisation))
    fields = show(membership_pb2.OrganisationRecord.FromString(record.value))
    ring = membership_pb2.KeyringRecord.FromString(keyring.value or b"")
    keys: list[dict[str, output.Json]] = []
    if ring.keys:
        signers = [Signer(Scheme(key.scheme), key.public_key) for key in ring.keys]
        for signer, state in zip(signers, _read(place, [signer_key(signer) for signer in signers]), strict=True):
            grant = membership_pb2.KeyRecord.FromString(state.value or b"")
            keys.append({"scheme": signer.scheme.name.lower(), "public_key": signer.public_key.hex(), **show(grant)})
    shown = [line for key in keys for line in ["", *lines(key)]]
    height = record.checkpoint.height
    emit({**fields, "keys": keys, "height": height}, *lines(fields), *shown)


@command(app, "request", t("org.request.help"))
def request(
    organisation: Annotated[str, typer.Argument(metavar="ID", help=t("org.option.id"))],
    keys: Annotated[list[str], typer.Option("--key", help=t("org.option.key"))],
    out: Annotated[Path, typer.Option("--out", help=t("org.option.out"))],
    home: HomeOption = None,
    name_zh: Annotated[str, typer.Option("--name-zh", help=t("org.option.name-zh"))] = "",
    name_en: Annotated[str, typer.Option("--name-en", help=t("org.option.name-en"))] = "",
    roles: Annotated[list[str] | None, typer.Option("--role", help=t("org.option.role"))] = None,
) -> None:
    """Write what the members vote on: an organisation with its keys, which may submit, govern and attest."""
    place = keys_home(home)
    grants = [
        membership_pb2.KeyGrant(
            key=ledger_pb2.Signer(scheme=ledger_pb2.Scheme.ValueType(signer.scheme), public_key=signer.public_key),
            purposes=[membership_pb2.PURPOSE_SUBMIT, membership_pb2.PURPOSE_GOVERN, membership_pb2.PURPOSE_ATTEST],
        )
        for signer in (public_signer(place, name) for name in keys)
    ]
    add = membership_pb2.AddOrganisation(
        id=organisation, name_zh=name_zh, name_en=name_en, roles=sorted(set(roles or ())), keys=grants
    )
    act = save_act(out, membership_pb2.Act(add_organisation=add))
    emit({"file": str(out), **act}, t("org.requested", file=out, id=organisation), t("org.request-next", file=out))


def _read(place: Home, keys: list[bytes]) -> list[ProvenState]:
    if not keys:
        return []

    async def ask() -> list[ProvenState]:
        async with place.session() as session:
            return await session.read_many(keys)

    return run_async(ask())


def _joined(value: output.Json) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else ""


def _status(organisation: dict[str, output.Json]) -> str:
    return str(organisation.get("status", "")).removeprefix("ORGANISATION_STATUS_").lower()
