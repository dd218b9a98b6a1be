# SPDX-License-Identifier: Apache-2.0
"""Puts the verifier together from a process's settings: its keys, whom it believes, the network, cards, the sandbox."""

import os
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI

from cli.sealing import served_stamps_of
from cli.staffing import signer_of
from identity.api.issuer.key_files import load_keys
from identity.api.time_stamps.part import time_stamps_part
from identity.api.verifier.cards import CardTrust
from identity.api.verifier.checking import Judge
from identity.api.verifier.directory import LedgerDirectory
from identity.api.verifier.ledger import Issuers, LedgerStates
from identity.api.verifier.outbound import Outbound
from identity.api.verifier.part import SITE, verifier_part
from identity.api.verifier.recording import HttpKeeper, SlotRecorder, submitting
from identity.api.verifier.sandbox import make_sandbox
from identity.api.verifier.status_lists import StatusLists
from identity.api.verifier.verifier import Realm, Verifier
from identity.cards.authority import InvalidCardCertificate
from identity.cards.verifying import CHAIN_BYTES_MAX, REVOCATION_LIST_BYTES_MAX, Chain, load_chain
from identity.issuer_keys import CERTIFICATE_BYTES_MAX, KeySet, Trust
from identity.jose import InvalidToken
from identity.status_list import MEDIA_TYPE, TOKEN_CHARACTERS_MAX
from service.app import Part
from service.errors import ConfigError
from service.nodes import read_network
from service.serve import Ground
from service.settings import Address
from service.shell import shell_part
from service.sign_in.door import Door
from service.store.key_encryption import load_passphrase
from service.store.replays import unix_ms
from service.verifier_settings import VerifierSettings


def verifier_parts(ground: Ground, address: Address) -> Sequence[Part]:
    """The verifier's parts.

    Raises:
        ConfigError: No network, keys or registrars are named, or what is named can't be read.
        KeyFileError: A key can't be read or opened.
    """
    assert ground.store is not None, "the service says that it needs one"
    settings = ground.settings.verifier
    network = read_network(ground.settings.ledger)
    door = Door(network.genesis, network.endpoints)
    states = LedgerStates(lambda: door.session)
    outbound = Outbound(settings.inside)

    async def fetch_list(url: str) -> str:
        raw = await outbound.send("GET", url, accept=MEDIA_TYPE, bytes_max=TOKEN_CHARACTERS_MAX)
        return raw.decode("ascii", "replace")

    async def fetch_crl(url: str) -> bytes:
        return await outbound.send("GET", url, bytes_max=REVOCATION_LIST_BYTES_MAX)

    def now_s() -> int:
        return unix_ms() // 1000

    recorder = _recorder(ground, door, states, outbound)
    sandbox = make_sandbox(now_s) if settings.sandbox else None
    chains = [_chain(path) for path in settings.card_chains]
    keys = opened_keys(settings)
    directory = LedgerDirectory(states, signs_with=lambda: keys.current(now_s()).public_key)
    verifier = Verifier(
        ground.store,
        keys,
        address.public_origin,
        Realm(
            directory,
            recorder,
            Judge(trust_of(settings), Issuers(states), StatusLists(fetch_list, now_s), states),
        ),
        None if sandbox is None else sandbox.realm,
        CardTrust(chains, fetch_crl, states, now_s) if chains else None,
        outbound,
        settings.keep_days,
        unix_ms,
    )

    async def start(_app: FastAPI) -> None:
        door.open()

    async def stop(_app: FastAPI) -> None:
        if recorder is not None:
            await recorder.stop()
        await door.close()

    is_behind_proxy = settings.client_certificates and bool(ground.settings.http.proxies)
    rounds = [] if recorder is None else [recorder.round]
    part = verifier_part(
        verifier, states, sandbox=sandbox, is_behind_proxy=is_behind_proxy, rounds=rounds, start=start, stop=stop
    )
    stamps = served_stamps_of(ground.settings.documents)
    return [shell_part(SITE), part, *([] if stamps is None else [time_stamps_part(stamps)])]


def _recorder(ground: Ground, door: Door, states: LedgerStates, outbound: Outbound) -> SlotRecorder | None:
    """Writes access entries; None: settings name nobody who keeps lists, or no key that submits."""
    settings = ground.settings
    own = signer_of(settings.signing, "signing.submit_key", settings.signing.submit_key)
    if own is None or not settings.verifier.list_keeper:
        return None
    assert ground.store is not None, "the service says that it needs one"
    keeper = HttpKeeper(settings.verifier.list_keeper, outbound, own, unix_ms)
    return SlotRecorder(ground.store, keeper, states, submitting(lambda: door.session, own), unix_ms)


def opened_keys(settings: VerifierSettings) -> KeySet:
    """The keys that sign requests and answers.

    Raises:
        ConfigError: The settings name none.
        KeyFileError: They can't be read or opened.
    """
    if not settings.keys:
        raise ConfigError(
            "verifier.keys is not set: name a folder that zhixin credential new-key made for the verifier"
        )
    passphrase = load_passphrase(settings.passphrase_file, os.environ)
    return load_keys(Path(settings.keys), passphrase, os.environ, allow_plain=settings.allow_plain).keys


def trust_of(settings: VerifierSettings) -> Trust:
    """The registrars whose credentials count.

    Raises:
        ConfigError: None is named, or a file is no certificate.
    """
    if not settings.registrars:
        raise ConfigError("verifier.registrars is not set: name the certificates of registrars whose credentials count")
    anchors = [_read(path, CERTIFICATE_BYTES_MAX, "verifier.registrars") for path in settings.registrars]
    issuing = [_read(path, CERTIFICATE_BYTES_MAX, "verifier.issuing") for path in settings.issuing]
    try:
        return Trust(anchors, issuing)
    except InvalidToken as error:
        raise ConfigError(f"verifier.registrars, verifier.issuing: {error.reason}") from None


def _chain(path: str) -> Chain:
    try:
        return load_chain(_read(path, CHAIN_BYTES_MAX, "verifier.card_chains"))
    except InvalidCardCertificate as error:
        raise ConfigError(f"verifier.card_chains: {path}: {error}") from None


def _read(path: str, bytes_max: int, setting: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}") from None
    if len(raw) > bytes_max:
        raise ConfigError(f"{setting}: {path} is longer than {bytes_max} bytes")
    return raw
