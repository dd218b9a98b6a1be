# SPDX-License-Identifier: Apache-2.0
"""`zhixin org`: organisations and their keys, with proof."""

from typing import Annotated

import typer

from chain.signing import Scheme, Signer
from cli import output
from cli.command import command, group
from cli.errors import MissingError
from cli.home import Home, HomeOption, find_home
from cli.language import t
from cli.output import emit, emit_table
from cli.records import lines, show
from cli.run import run_async
from client.answers import ProvenState
from membership.pb import membership_pb2
from membership.state import keyring_key, organisation_key, signer_key

app = group(t("help.org"))


@command(app, "list", t("org.list.help"))
def list_organisations(home: HomeOption = None) -> None:
    """Those that genesis names, as they stand now; later ones are shown by name."""
    place = find_home(home)
    section = place.genesis().sections.get("membership", {})
    listed = section.get("organisations")
    names = [str(each["id"]) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
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
