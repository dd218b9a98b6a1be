# SPDX-License-Identifier: Apache-2.0
"""`zhixin card`: look at a card, verify it, make one from a blank; an authority, an agent, an emulated card."""

import asyncio
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from cli import output
from cli.cards import FileJournal, FileOption, ReaderOption, ask_pin, card_explained, card_in, load_emulated
from cli.command import command, group
from cli.commands.card_agent import agent
from cli.commands.card_compartment import open_sealed, seal_file
from cli.errors import InputError, StoppedError, UsageError
from cli.home import read_file
from cli.language import t
from cli.output import emit, note
from cli.services import explained
from identity.api.desk.card_keys import CHAIN_FILE, CardKeys, load_card_authority, make_card_authority
from identity.cards import vpcd
from identity.cards.authority import load_certificate
from identity.cards.emulator import EMULATED_ATR, EmulatedCard
from identity.cards.making import PersonalisedCard, Stage
from identity.cards.objects import Slot
from identity.cards.personalise import personalise as make_card
from identity.cards.personalise import void as void_card
from identity.cards.piv import Piv
from identity.cards.profile import Places
from identity.cards.verifying import (
    CHAIN_BYTES_MAX,
    REVOCATION_LIST_BYTES_MAX,
    is_emulated,
    load_chain,
    load_revocation_list,
    verify_card,
)
from service.store.files import make_folder, replace_private
from service.store.key_encryption import load_passphrase

CARD_DAYS = 5 * 365

app = group(t("help.card"))
command(app, "agent", t("card.agent.help"))(agent)
command(app, "seal", t("card.seal.help"))(seal_file)
command(app, "open", t("card.open.help"))(open_sealed)

AuthorityOption = Annotated[Path, typer.Option("--authority", help=t("card.option.authority"))]
JournalOption = Annotated[Path, typer.Option("--journal", help=t("card.option.journal"))]
PlainOption = Annotated[bool, typer.Option("--plain", help=t("card.option.plain"))]


@command(app, "info", t("card.info.help"))
def info(reader: ReaderOption = "", file: FileOption = None) -> None:
    """What a card says of itself. Nothing is verified."""
    with card_in(reader, file) as card:
        piv = Piv(card)
        piv.select()
        chuid, tries = piv.chuid(), piv.pin_tries_left()
        certificates = {slot: piv.certificate(slot) for slot in Slot}
        atr = card.atr
    shown = [_certificate(slot, load_certificate(raw)) for slot, raw in certificates.items() if raw is not None]
    fields: dict[str, output.Json] = {
        "verified": False,
        "atr": atr.hex(),
        "emulated": atr == EMULATED_ATR,
        "guid": None if chuid is None else chuid.guid.hex(),
        "expires": None if chuid is None else chuid.expires.isoformat(),
        "pin_tries_left": tries,
        "certificates": shown,
    }
    note(t("card.unverified"))
    who = t("card.blank") if chuid is None else t("card.is", guid=chuid.guid.hex(), expires=chuid.expires)
    lines = [who, t("card.tries", count="-" if tries is None else tries), *(_line(each) for each in shown)]
    emit(fields, *([t("card.emulated")] if atr == EMULATED_ATR else []), *lines)


@command(app, "verify", t("card.verify.help"))
def verify(
    chain: Annotated[Path, typer.Option("--chain", help=t("card.option.chain"))],
    revoked: Annotated[Path | None, typer.Option("--list", help=t("card.option.list"))] = None,
    pin: Annotated[bool, typer.Option("--pin", help=t("card.option.pin"))] = False,
    reader: ReaderOption = "",
    file: FileOption = None,
) -> None:
    """Whether a card is what it says: its certificates hold, and it uses the keys in them."""
    now_s = int(time.time())
    trusted = load_chain(read_file(chain, CHAIN_BYTES_MAX))
    listed = None
    if revoked is not None:
        listed = load_revocation_list(read_file(revoked, REVOCATION_LIST_BYTES_MAX), trusted, now_s)
    digits = ask_pin() if pin else None
    with card_in(reader, file) as card:
        piv = Piv(card)
        piv.select()
        found = verify_card(piv, trusted, now_s, pin=digits, revoked=listed)
    guid = found.chuid.guid.hex()
    proven: list[output.Json] = [f"{slot:02X}" for slot in found.proven]
    fields: dict[str, output.Json] = {
        "verified": True,
        "emulated": found.emulated,
        "guid": guid,
        "expires": found.chuid.expires.isoformat(),
        "proven": proven,
        "status_checked": listed is not None,
        "certificates": [_certificate(slot, each) for slot, each in found.certificates.items()],
    }
    lines = [t("card.holds", guid=guid, slots=", ".join(str(slot) for slot in proven))]
    if found.emulated:
        lines.append(t("card.emulated"))
    if listed is None:
        lines.append(t("card.status-unasked"))
    emit(fields, *lines)


@command(app, "personalise", t("card.personalise.help"))
def personalise(
    authority: AuthorityOption,
    journal: JournalOption,
    letter: Annotated[Path, typer.Option("--letter", help=t("card.option.letter"))],
    expires: Annotated[str, typer.Option("--expires", metavar="YYYY-MM-DD", help=t("card.option.expires"))] = "",
    reader: ReaderOption = "",
    file: FileOption = None,
    plain: PlainOption = False,
) -> None:
    """Make a card from a blank one, or go on where that broke off."""
    now_s = int(time.time())
    last = _day(expires) if expires else (datetime.fromtimestamp(now_s, UTC) + timedelta(days=CARD_DAYS)).date()
    keys = _authority(authority, plain=plain)
    with explained(), card_in(reader, file) as card:
        made = make_card(
            card,
            keys.authority,
            keys.diversifier,
            FileJournal(journal),
            now_s=now_s,
            expires=last,
            reached=lambda stage: note(_stage(stage)),
        )
        replace_private(letter, _letter(made).encode())
    fields: dict[str, output.Json] = {
        "guid": made.guid.hex(),
        "expires": made.expires.isoformat(),
        "emulated": made.emulated,
        "serials": [f"{serial:x}" for serial in made.serials],
        "letter": str(letter),
        "journal": str(journal),
    }
    emit(fields, t("card.made", guid=made.guid.hex(), expires=made.expires), t("card.letter-written", path=letter))


@command(app, "void", t("card.void.help"))
def void(
    authority: AuthorityOption,
    journal: JournalOption,
    lost: Annotated[bool, typer.Option("--lost", help=t("card.option.lost"))] = False,
    reader: ReaderOption = "",
    file: FileOption = None,
    plain: PlainOption = False,
) -> None:
    """Give up a card that was begun: wipe it, and name the certificates that are to be revoked."""
    if not journal.exists():
        raise InputError("card.journal", t("card.journal", path=journal))
    keys = _authority(authority, plain=plain)
    with explained():
        if lost:
            gone = void_card(None, keys.diversifier, FileJournal(journal))
        else:
            with card_in(reader, file) as card:
                gone = void_card(card, keys.diversifier, FileJournal(journal))
    serials: list[output.Json] = [f"{serial:x}" for serial in gone.serials]
    fields: dict[str, output.Json] = {"guid": gone.guid.hex(), "revoke": serials, "reusable": gone.reusable}
    wiped = t("card.reusable") if gone.reusable else t("card.not-reusable")
    revoke = [t("card.revoke", serials=", ".join(str(serial) for serial in serials))] if serials else []
    emit(fields, t("card.voided", guid=gone.guid.hex()), wiped, *revoke)


@command(app, "authority", t("card.authority.help"))
def authority(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help=t("card.option.folder"))],
    name: Annotated[str, typer.Option("--name", help=t("card.option.name"))],
    crl: Annotated[str, typer.Option("--crl-url", help=t("card.option.crl-url"))] = "",
    ocsp: Annotated[str, typer.Option("--ocsp-url", help=t("card.option.ocsp-url"))] = "",
    issuer: Annotated[str, typer.Option("--issuer-url", help=t("card.option.issuer-url"))] = "",
    root: Annotated[Path | None, typer.Option("--root", help=t("card.option.root"))] = None,
    issuing_token: Annotated[str, typer.Option("--issuing-token", help=t("card.option.issuing-token"))] = "",
    master_token: Annotated[str, typer.Option("--master-token", help=t("card.option.master-token"))] = "",
    emulated: Annotated[bool, typer.Option("--emulated", help=t("card.option.emulated"))] = False,
    plain: PlainOption = False,
) -> None:
    """Make an authority for cards; an existing one is never overwritten."""
    with explained():
        made = make_card_authority(
            folder,
            name,
            Places(issuer, crl, ocsp),
            load_passphrase("", os.environ),
            allow_plain=plain,
            allows_emulated=emulated,
            now_s=int(time.time()),
            environment=os.environ,
            issuing_token=issuing_token,
            master_token=master_token,
            root_from=root,
        )
    chain = folder / CHAIN_FILE
    fields: dict[str, output.Json] = {
        "folder": str(folder),
        "chain": str(chain),
        "root": made.subject.rfc4514_string(),
        "allows_emulated": emulated,
    }
    lines = [t("card.authority-made", folder=folder), t("card.authority-chain", path=chain)]
    emit(fields, *lines, *([] if root is not None else [t("card.authority-root", path=folder / "root")]))


@command(app, "emulator", t("card.emulator.help"))
def emulator(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=t("card.option.emulator-file"))],
    host: Annotated[str, typer.Option("--host", help=t("card.option.host"))] = vpcd.HOST,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help=t("card.option.port"))] = vpcd.PORT,
) -> None:
    """Put an emulated card into vpcd's virtual reader until Ctrl-C; a new file is a blank card."""
    with explained(), card_explained():
        if not file.exists():
            if not file.parent.exists():
                make_folder(file.parent)
            replace_private(file, EmulatedCard().save())
        card = load_emulated(file)
        try:
            asyncio.run(_hold(card, file, host, port))
        except KeyboardInterrupt:
            raise StoppedError(t("card.out")) from None
    emit({"file": str(file), "removed": True}, t("card.out"))


async def _hold(card: EmulatedCard, file: Path, host: str, port: int) -> None:
    plugged = asyncio.Event()
    holding = asyncio.create_task(vpcd.plug_in(card, host=host, port=port, plugged=plugged))
    waiting = asyncio.create_task(plugged.wait())
    await asyncio.wait({holding, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if plugged.is_set():
        note(t("card.plugged", file=file, host=host, port=port))
    waiting.cancel()
    await holding


def _authority(folder: Path, *, plain: bool) -> CardKeys:
    with explained():
        return load_card_authority(folder, load_passphrase("", os.environ), os.environ, allow_plain=plain)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError("usage.day", t("usage.day", text=text)) from None


def _stage(stage: Stage) -> str:
    return {
        Stage.BEGUN: t("card.stage.begun"),
        Stage.LOCKED: t("card.stage.locked"),
        Stage.CERTIFIED: t("card.stage.certified"),
        Stage.DONE: t("card.stage.done"),
        Stage.VOID: t("card.error.void"),
    }[stage]


def _letter(made: PersonalisedCard) -> str:
    return t("card.letter", guid=made.guid.hex(), pin=made.pin, puk=made.puk)


def _certificate(slot: Slot, certificate: x509.Certificate) -> dict[str, output.Json]:
    return {
        "slot": f"{slot:02X}",
        "serial": f"{certificate.serial_number:x}",
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "emulated": is_emulated(certificate),
    }


def _line(fields: dict[str, output.Json]) -> str:
    return t(
        "card.certificate",
        slot=fields["slot"],
        issuer=fields["issuer"],
        end=str(fields["not_after"])[:10],
        serial=fields["serial"],
    )
