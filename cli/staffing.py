# SPDX-License-Identifier: Apache-2.0
"""Services whose people sign in, put together from a process's settings: which network, whose keys sign beside them."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from chain.ed25519 import Ed25519Signer
from chain.p256 import P256Signer
from chain.signing import TransactionSigner
from cli.staff_cards import staff_cards
from node import errors as node_errors
from node.keys import Algorithm, Purpose, load_key, load_passphrase
from service.app import Part
from service.errors import ConfigError, KeyFileError
from service.nodes import read_network
from service.pages import Site
from service.serve import Ground
from service.settings import Address, Settings, SigningSettings
from service.sign_in.part import OfficeLedger, staffed_parts


def staffed(ground: Ground, address: Address, site: Site, *, role: str = "", needs_ledger: bool = True) -> list[Part]:
    """Page shell, sign-in and acts of a service, from the settings; the service's own parts come after them.

    Args:
        ground: The process's settings and store.
        address: Where the service is reached.
        site: Its name and navigation.
        role: What an organisation must have on the ledger for its officers to work here; "": being a member is enough.
        needs_ledger: Whether the service is of no use without a network.

    Raises:
        ConfigError: No network is named although one is needed, or what is named (cards' authority, too) can't be read.
        KeyFileError: A key file can't be read or opened.
    """
    assert ground.store is not None, "the service says that it needs one"
    ledger = office_ledger(ground.settings, role) if needs_ledger or ground.settings.ledger.genesis else None
    return staffed_parts(ground.store, address, site, ledger, cards=staff_cards(ground.settings.staff))


def office_ledger(settings: Settings, role: str) -> OfficeLedger:
    """The ledger as officers meet it; see `staffed`."""
    network, signing = read_network(settings.ledger), settings.signing
    own = signer_of(signing, "signing.submit_key", signing.submit_key)
    governor = signer_of(signing, "signing.governing_key", signing.governing_key)
    if own is not None and governor is not None and own.signer == governor.signer:
        raise ConfigError(
            "signing.submit_key and signing.governing_key are the same key; the service's own needs no more than submit"
        )
    return OfficeLedger(network.genesis, network.endpoints, role, () if own is None else (own,), governor)


def signer_of(signing: SigningSettings, setting: str, path: str) -> TransactionSigner | None:
    """The key in a file; None where none is named.

    Args:
        signing: Say how key files are opened.
        setting: Which setting names the file; for errors.
        path: The file; may be empty.

    Raises:
        KeyFileError: It can't be read or opened.
    """
    if not path:
        return None
    try:
        passphrase = load_passphrase(signing.passphrase_file, os.environ)
        pair = load_key(Path(path), Purpose.ORGANISATION, passphrase, allow_plain=signing.allow_plain)
    except node_errors.KeyFileError as error:
        raise KeyFileError(f"{setting}: {error}".replace("keys.allow_plain", "signing.allow_plain")) from None
    if pair.algorithm is Algorithm.ED25519:
        return Ed25519Signer(pair.secret)
    return P256Signer(ec.derive_private_key(int.from_bytes(pair.secret, "big"), ec.SECP256R1()))
