# SPDX-License-Identifier: Apache-2.0
"""Puts a kiosk together from a process's settings: key, reader, office, network; at the desk, the office."""

import ipaddress
import json
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI

from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.signing import Scheme, TransactionSigner
from cli.sealing import seal_of
from cli.staffing import signer_of
from identity.api.accesses.lists import pairwise_seed
from identity.api.kiosk.agent import Kiosk
from identity.api.kiosk.base import BILLS_MAX, Bill
from identity.api.kiosk.equipment import Equipment
from identity.api.kiosk.journal import Journal
from identity.api.kiosk.ledger import SessionStates
from identity.api.kiosk.office_client import HttpOffice
from identity.api.kiosk.office_part import office_part
from identity.api.kiosk.pages import SITE
from identity.api.kiosk.paper_way import CommandPaper
from identity.api.kiosk.papers import Papers
from identity.api.kiosk.part import kiosk_part
from identity.api.kiosk.phone import PhoneJudge, VerifierPhones
from identity.api.kiosk.presence import CommandProvider
from identity.api.kiosk.printing import PaperPrinter
from identity.api.kiosk.reader import CardSlot, FolderSlot, PcscSlot
from identity.cards.verifying import CHAIN_BYTES_MAX, Chain, load_chain
from identity.issuer_keys import CERTIFICATE_BYTES_MAX, Trust
from identity.liveness import METHOD
from identity.mandates import AMOUNT_FEN_MAX
from service.app import Part
from service.errors import ConfigError
from service.kiosk_settings import KioskSettings
from service.nodes import read_network
from service.serve import Ground
from service.settings import Address, SigningSettings, split_address
from service.shell import shell_part
from service.sign_in.door import Door
from service.store import Store
from service.store.files import read_private
from service.store.replays import unix_ms

KEY_BYTES_MAX = 4_096
BILLS_BYTES_MAX = 64 * 1024
BILL_CHARACTERS_MAX = 64
"""What stands on one line of a screen, and of a phone's."""


def kiosk_parts(ground: Ground, address: Address) -> Sequence[Part]:
    """The kiosk's parts.

    Raises:
        ConfigError: It would be reached from other machines, no network, key, office or card authority is named, or
            what is named can't be read.
        KeyFileError: The key can't be read or opened, or the folder is open to others.
    """
    settings = ground.settings.kiosk
    check_loopback(address)
    network = read_network(ground.settings.ledger)
    door = Door(network.genesis, network.endpoints)
    device = device_of(settings)
    if not settings.office or not settings.card_chains or not settings.check_url:
        raise ConfigError("kiosk.office, kiosk.card_chains and kiosk.check_url are needed: name all three")
    kiosk = Kiosk(
        Equipment(
            slot=_slot(settings),
            chains=[_chain(path) for path in settings.card_chains],
            device=device,
            office=HttpOffice(settings.office, device, settings.ca_file),
            states=SessionStates(lambda: door.session),
            journal=Journal(Path(settings.folder)),
            printer=PaperPrinter(network.genesis.name, settings.check_url),
            phones=_phones(settings),
            now_ms=unix_ms,
            monotonic_ms=monotonic_ms,
            phone_fen_min=settings.phone_fen_min,
            takes_emulated=bool(settings.emulated) or settings.emulated_cards,
            liveness=liveness_of(settings),
            paper=CommandPaper(settings.print_command) if settings.print_command else None,
        )
    )

    return [shell_part(SITE), kiosk_part(kiosk, start=door.start, stop=door.stop)]


def device_of(settings: KioskSettings) -> TransactionSigner:
    """The kiosk's own key.

    Raises:
        ConfigError: None is named, or it is no P-256 key.
        KeyFileError: It can't be read or opened.
    """
    opening = SigningSettings(passphrase_file=settings.passphrase_file, allow_plain=settings.allow_plain)
    found = signer_of(opening, "kiosk.device_key", settings.device_key)
    if found is None or found.signer.scheme is not Scheme.P256:
        raise ConfigError("kiosk.device_key is missing, or no P-256 key: `zhixin keys new NAME --algorithm p256`")
    return found


def check_loopback(address: Address) -> None:
    """See that nobody else's browser reaches the kiosk.

    Raises:
        ConfigError: It would listen to, or answer under a name of, other machines.
    """
    listen = split_address(address.listen)[0]
    names = [urlsplit(f"//{host}").hostname or "" for host in address.known_hosts]
    if not all(_is_here(name) for name in (listen, *names)):
        raise ConfigError(
            "a kiosk is served to its own machine alone: let addresses.kiosk name 127.0.0.1 and localhost, nothing else"
        )


def monotonic_ms() -> int:
    """A clock that never goes back, in ms."""
    return time.monotonic_ns() // 1_000_000


def _is_here(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def office_of(ground: Ground, genesis: Genesis, store: Store) -> Part:
    """The office behind kiosks, as a part of the desk's service.

    Raises:
        ConfigError: A certificate or the list of bills can't be read, or is none; a method's name is none; or there is
            a seal without its time stamps or without the page that checks receipts.
        KeyFileError: The seal can't be opened.
    """
    settings = ground.settings.kiosk
    bills, seal = read_bills(settings.office_bills), seal_of(ground.settings.documents)
    for name in settings.office_liveness:
        if METHOD.fullmatch(name) is None:
            raise ConfigError(f"kiosk.office_liveness: {name!r} is no method's name, such as vendor/active-3.2")
    if seal is not None and not settings.office_check_url:
        raise ConfigError("documents.seal needs kiosk.office_check_url, too: the page that checks receipts")

    def papers(app: FastAPI) -> Papers:
        assert seal is not None, "asked for only then"
        states = SessionStates(lambda: app.state.door.session)
        return Papers(seal, states, PaperPrinter(genesis.name, settings.office_check_url, seal.organisation))

    return office_part(
        lambda _person: bills,
        _judge(settings, genesis, store),
        None if seal is None else papers,
        frozenset(settings.office_liveness),
    )


def _judge(settings: KioskSettings, genesis: Genesis, store: Store) -> PhoneJudge | None:
    if not settings.office_verifier:
        return None
    raw = _read(settings.office_verifier, CERTIFICATE_BYTES_MAX, "kiosk.office_verifier")
    try:
        trust = Trust([raw])
    except LedgerError as error:
        raise ConfigError(f"kiosk.office_verifier: {error.reason}") from None
    return PhoneJudge(trust, genesis, settings.office_party, lambda person: pairwise_seed(store, person))


def read_bills(path: str) -> tuple[Bill, ...]:
    """Bills from a file, for development.

    Raises:
        ConfigError: It can't be read, or is no list of bills.
    """
    if not path:
        return ()
    raw = _read(path, BILLS_BYTES_MAX, "kiosk.office_bills")
    try:
        bills = tuple(Bill(**one) for one in json.loads(raw))
    except (ValueError, TypeError):
        raise ConfigError(
            f"kiosk.office_bills: {path} is no JSON list of objects with reference, payee, purpose, amount_fen"
        ) from None
    texts = [text for one in bills for text in (one.reference, one.payee, one.purpose)]
    are_formed = all(isinstance(text, str) and 0 < len(text) <= BILL_CHARACTERS_MAX for text in texts)
    are_paid = all(type(one.amount_fen) is int and 0 < one.amount_fen <= AMOUNT_FEN_MAX for one in bills)
    if len(bills) > BILLS_MAX or not are_formed or not are_paid:
        raise ConfigError(
            f"kiosk.office_bills: {path}: at most {BILLS_MAX}, texts of 1 to 64 characters, amounts in fen"
        )
    return bills


def _phones(settings: KioskSettings) -> VerifierPhones | None:
    if not settings.verifier:
        return None
    key = read_private(Path(settings.verifier_key_file), KEY_BYTES_MAX).strip().decode("ascii", "replace")
    return VerifierPhones(settings.verifier, key, settings.verifier_purpose, settings.ca_file)


def liveness_of(settings: KioskSettings) -> CommandProvider | None:
    """The liveness method that settings name; None: nobody looks.

    Raises:
        ConfigError: A name without a program, a program without a name, or a name that is none.
    """
    if not settings.liveness_method and not settings.liveness_command:
        return None
    return CommandProvider(settings.liveness_method, settings.liveness_command)


def _slot(settings: KioskSettings) -> CardSlot:
    return FolderSlot(Path(settings.emulated)) if settings.emulated else PcscSlot(settings.reader)


def _chain(path: str) -> Chain:
    try:
        return load_chain(_read(path, CHAIN_BYTES_MAX, "kiosk.card_chains"))
    except LedgerError as error:
        raise ConfigError(f"kiosk.card_chains: {path}: {error.reason}") from None


def _read(path: str, bytes_max: int, setting: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError(f"{setting}: {path} can't be read: {error.strerror or error}") from None
    if len(raw) > bytes_max:
        raise ConfigError(f"{setting}: {path} is longer than {bytes_max} bytes")
    return raw
