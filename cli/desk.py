# SPDX-License-Identifier: Apache-2.0
"""Puts the desk together from a process's settings: network, keys, uniqueness service, readers and cards' authority."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.kiosk import office_of
from cli.notices import notice_parts
from cli.staff_cards import staff_cards
from cli.staffing import office_ledger
from cli.uniqueness import tagger_of
from identity.api.desk.card_keys import CardKeys, load_card_authority
from identity.api.desk.card_status import log_into
from identity.api.desk.card_status_part import card_status_part
from identity.api.desk.cards_part import cards_part
from identity.api.desk.cards_shop import Shop
from identity.api.desk.cards_workshop import Counter, EmulatedTray, PcscReaders
from identity.api.desk.offer_pages import offers_part
from identity.api.desk.part import DESK_SITE, desk_part
from identity.issuing import REGISTRAR_ROLE
from service.app import Part
from service.nodes import read_network
from service.registrar_settings import CardSettings
from service.serve import Ground
from service.settings import Address
from service.sign_in.part import staffed_parts
from service.store.key_encryption import load_passphrase


def desk_parts(ground: Ground, address: Address) -> Sequence[Part]:
    """The desk's parts.

    Raises:
        ConfigError: No network is named, or what is named can't be read.
        KeyFileError: A key file can't be read or opened.
        TokenError: A key in a token is not there.
    """
    assert ground.store is not None, "the service says that it needs one"
    ledger = office_ledger(ground.settings, REGISTRAR_ROLE)
    own = ledger.cosigners[0] if ledger.cosigners else None
    tagger = tagger_of(ground.settings)
    desk = desk_part(ground.store, tagger=tagger, service_key=own, retention=ground.settings.retention)
    keys = card_keys(ground.settings.cards, log_into(ground.store))
    return [
        *staffed_parts(ground.store, address, DESK_SITE, ledger, cards=staff_cards(ground.settings.staff)),
        desk,
        cards_part(None if keys is None else card_shop(ground.settings.cards, keys)),
        *([] if keys is None else [card_status_part(keys)]),
        offers_part(ground.settings.issuing.origin.rstrip("/")),
        office_of(ground, read_network(ground.settings.ledger).genesis, ground.store),
        *notice_parts(ground),
    ]


def card_keys(settings: CardSettings, log: Callable[[bytes, bytes], None] | None = None) -> CardKeys | None:
    """The authority of cards that settings name; None: none is named.

    Args:
        settings: Where it is.
        log: Writes each certificate down; see `identity.cards.authority.CardAuthority`.

    Raises:
        KeyFileError: The authority can't be read or opened.
        TokenError: A key in a token is not there.
    """
    if not settings.folder:
        return None
    passphrase = load_passphrase(settings.passphrase_file, os.environ)
    return load_card_authority(Path(settings.folder), passphrase, os.environ, allow_plain=settings.allow_plain, log=log)


def card_shop(settings: CardSettings, keys: CardKeys) -> Shop:
    """Where cards are made: this machine's readers, and a tray of emulated cards where settings name one."""
    tray = [EmulatedTray(Path(settings.emulated))] if settings.emulated else []
    return Shop(Counter([*tray, PcscReaders()]), keys.authority, keys.diversifier)
