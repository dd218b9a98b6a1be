# SPDX-License-Identifier: Apache-2.0
"""Puts the service of food records together from a process's settings: network, index, keys, and the parts on them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from chain.signing import TransactionSigner
from cli.staff_cards import staff_cards
from cli.staffing import office_ledger, signer_of
from service.app import Part
from service.nodes import read_network
from service.serve import Ground
from service.settings import Address, SigningSettings, TraceSettings
from service.sign_in.door import Door
from service.sign_in.part import staffed_parts
from service.store.replays import unix_ms
from traceability.api.context import TRACE_SITE, TraceContext, food_index, ground_part
from traceability.api.part import epcis_part
from traceability.api.regulator.part import regulator_part
from traceability.api.resolving import resolver_part
from traceability.api.shopper.part import shopper_part
from traceability.api.start import start_part
from traceability.api.trace_records import describe
from traceability.api.trader.part import trader_part
from traceability.items import is_gln
from traceability.resolver import PageLinks

RESOLVER_NAME = "Zhixin food records"


def trace_parts(ground: Ground, address: Address) -> Sequence[Part]:
    """The parts of `zhixin serve trace`.

    Raises:
        ConfigError: No network is named, or what is named can't be read.
        KeyFileError: A key file can't be read or opened.
        StorageError: The index's database can't be reached.
    """
    assert ground.store is not None, "the service says that it needs one"
    ledger = office_ledger(ground.settings, "")
    context = trace_context(ground, address)
    return [
        start_part(),
        *staffed_parts(ground.store, address, TRACE_SITE, ledger, cards=staff_cards(ground.settings.staff)),
        ground_part(context),
        resolver_part(_links(context), context.origin, RESOLVER_NAME),
        epcis_part(context),
        shopper_part(context),
        trader_part(context),
        regulator_part(context),
    ]


def trace_context(ground: Ground, address: Address) -> TraceContext:
    """What the parts share.

    Raises:
        ConfigError: No network is named, or what is named can't be read.
        KeyFileError: A key file can't be read or opened.
        StorageError: The index's database can't be reached.
    """
    assert ground.store is not None, "the service says that it needs one"
    network = read_network(ground.settings.ledger)
    signing = ground.settings.signing
    return TraceContext(
        store=ground.store,
        index=food_index(ground.settings, network.genesis),
        door=Door(network.genesis, network.endpoints),
        genesis=network.genesis,
        genesis_raw=network.raw,
        trader_signer=_trader_keys(ground.settings.trace),
        submit_key=signer_of(signing, "signing.submit_key", signing.submit_key),
        address=address,
        settings=ground.settings,
        now=unix_ms,
    )


def _trader_keys(settings: TraceSettings) -> Callable[[str], TransactionSigner | None]:
    """Keys of participants, each read once; one that is added later is found."""
    opening = SigningSettings(passphrase_file=settings.passphrase_file, allow_plain=settings.allow_plain)
    known: dict[str, TransactionSigner] = {}

    def find(gln: str) -> TransactionSigner | None:
        path = Path(settings.trader_keys) / f"{gln}.key"
        if gln not in known and settings.trader_keys and is_gln(gln) and path.exists():
            found = signer_of(opening, "trace.trader_keys", str(path))
            assert found is not None, "a file is named"
            known[gln] = found
        return known.get(gln)

    return find


def _links(context: TraceContext) -> PageLinks:
    """Links of labels to this service's own pages."""

    def known(item: str) -> str | None:
        with context.reading() as connection:
            return describe(connection, item)

    return PageLinks(context.origin, known)
