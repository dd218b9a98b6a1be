# SPDX-License-Identifier: Apache-2.0
"""`zhixin registrar`: whose key is an officer's at a registrar, and for which duties; signed by the governing key.

`zhixin registrar party` and `zhixin registrar device` stand beside it, in modules of their own.
"""

import os
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from chain.codec import encode
from chain.pb import ledger_pb2
from chain.transaction import Operation
from cli import acting
from cli.command import command, group
from cli.commands import registrar_device, registrar_party
from cli.errors import InputError
from cli.home import HomeOption, KeyOption, OutOption, find_home
from cli.language import t
from cli.output import Json, emit, emit_table, note
from cli.run import run_async
from cli.services import explained
from client.answers import ProvenState
from identity.officers import OFFICER_BYTES, load_officer, officer_key
from identity.pb import identity_pb2 as pb
from membership.state import load_key, signer_key, signer_pb
from service.settings import load_settings
from service.sign_in.ledger import officer_key_text, parse_officer_key
from service.sign_in.roles import Role
from service.sign_in.tables import ACTIVE, Passkey, StaffMember
from service.store import open_store

app = group(t("help.registrar"))
app.add_typer(registrar_party.app, name="party")
app.add_typer(registrar_device.app, name="device")

SettingsOption = Annotated[Path | None, typer.Option("--settings", metavar="TOML", help=t("serve.option.settings"))]
PasskeyArgument = Annotated[str, typer.Argument(metavar="PUBLIC-KEY", help=t("registrar.option.passkey"))]
OFFICERS_MAX = 1_000
"""Passkeys and cards that are listed: more than any office has."""


class DutyName(StrEnum):
    """An officer's duty on the command line."""

    ENROL = "enrol"
    CONFIRM = "confirm"


_DUTIES = {DutyName.ENROL: pb.DUTY_ENROL, DutyName.CONFIRM: pb.DUTY_CONFIRM}
_DUTY_OF: dict[str, DutyName] = {Role.CLERK: DutyName.ENROL, Role.APPROVER: DutyName.CONFIRM}
"""Without it nobody of that role can do their work; others may have one."""


@command(app, "officers", t("registrar.officers.help"))
def officers(home: HomeOption = None, settings: SettingsOption = None) -> None:
    """Passkeys and cards of the people of this machine's services, and what the ledger says of each."""
    with explained():
        store = open_store(load_settings(settings).store, os.environ)
        try:
            with store.read() as session:
                query = select(Passkey, StaffMember).join(StaffMember, Passkey.staff_id == StaffMember.id)
                rows = session.execute(query.where(StaffMember.state == ACTIVE).limit(OFFICERS_MAX)).all()
                listed = [
                    (
                        store.people.open(session, member, StaffMember.name) or "",
                        member.role,
                        passkey.signer,
                        member.organisation,
                    )
                    for passkey, member in rows
                ]
        finally:
            store.close()
    signers = [signer for _, _, signer, _ in listed]
    place = find_home(home)

    async def ask() -> list[ProvenState]:
        keys = [key for signer in signers for key in (officer_key(signer), signer_key(signer))]
        async with place.session() as session:
            return await session.read_many(keys) if keys else []

    state = {one.key: one.value for one in run_async(ask())}
    found: list[dict[str, Json]] = []
    table, next_steps = [], []
    for name, role, signer, organisation in listed:
        record = load_officer(state.get, signer)
        duties = [name for name, duty in _DUTIES.items() if record is not None and duty in record.duties]
        number, text = "" if record is None else record.officer.hex(), officer_key_text(signer)
        is_registered = load_key(state.get, signer) is not None
        found.append(
            {
                "name": name,
                "role": role,
                "key": text,
                "officer": number,
                "duties": list(duties),
                "registered": is_registered,
            }
        )
        table.append([name, role, text, ", ".join(duties)])
        if role in _DUTY_OF and not duties:
            governor = organisation if organisation in place.key_names() else "NAME"
            fields = {"name": name, "role": role, "key": text}
            next_steps.append(
                t("registrar.next", **fields, duty=_DUTY_OF[role].value, home=place.root, governor=governor)
                if is_registered
                else t("registrar.unregistered", **fields)
            )
    columns = [
        t("registrar.column.name"),
        t("registrar.column.role"),
        t("registrar.column.key"),
        t("registrar.column.duties"),
    ]
    emit_table({"officers": found}, columns, table, empty=t("registrar.none"))
    for line in next_steps:
        note(line)


@command(app, "appoint", t("registrar.appoint.help"))
def appoint(
    passkey: PasskeyArgument,
    duty: Annotated[list[DutyName], typer.Option("--duty", help=t("registrar.option.duty"))],
    officer: Annotated[str, typer.Option("--officer", metavar="NUMBER", help=t("registrar.option.officer"))] = "",
    home: HomeOption = None,
    key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """Make a registered passkey or card an officer's."""
    number = _number(officer)
    message = pb.AppointOfficer(
        key=_key(passkey), officer=number, duties=[_DUTIES[name] for name in DutyName if name in duty]
    )
    done = acting.submit(find_home(home), [Operation.make("identity.AppointOfficer", encode(message))], key, out=out)
    emit(done | {"officer": number.hex()}, t("registrar.appointed", officer=number.hex()))


@command(app, "dismiss", t("registrar.dismiss.help"))
def dismiss(passkey: PasskeyArgument, home: HomeOption = None, key: KeyOption = None, out: OutOption = None) -> None:
    """End what an officer's key may do."""
    message = pb.DismissOfficer(key=_key(passkey))
    done = acting.submit(find_home(home), [Operation.make("identity.DismissOfficer", encode(message))], key, out=out)
    emit(done, t("registrar.dismissed"))


def _key(text: str) -> ledger_pb2.Signer:
    """The public key of a passkey or card.

    Raises:
        InputError: It is none.
    """
    officer = parse_officer_key(text)
    if officer is None:
        raise InputError("registrar.passkey", t("registrar.passkey"))
    return signer_pb(officer)


def _number(text: str) -> bytes:
    """An officer's number: the same on each of their keys; a new one if none is given.

    Raises:
        InputError: It is none.
    """
    if not text:
        return secrets.token_bytes(OFFICER_BYTES)
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != OFFICER_BYTES:
        raise InputError("registrar.officer", t("registrar.officer", count=OFFICER_BYTES * 2))
    return raw
