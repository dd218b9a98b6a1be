# SPDX-License-Identifier: Apache-2.0
"""Puts the uniqueness service together from a process's settings, and the way in which a desk asks it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.staffing import signer_of
from identity.api.tagging.client import HttpTagger
from identity.api.tagging.keys import TagKeys
from identity.api.tagging.part import uniqueness_part
from identity.api.tagging.registrars import Budget
from identity.api.tagging.uniqueness import Ledger, Uniqueness
from service.api_keys import KEY_CHARACTERS_MAX
from service.app import Part
from service.errors import ConfigError
from service.nodes import read_network
from service.serve import Ground
from service.settings import Address, Settings, SigningSettings
from service.sign_in.door import Door
from service.store import Store
from service.store.files import read_private
from service.store.replays import unix_ms


def uniqueness_parts(ground: Ground, _address: Address) -> Sequence[Part]:
    """The service's parts.

    Raises:
        ConfigError: No network or no signing key is named, or what is named can't be read.
        KeyFileError: A key can't be read or opened, or is not in its token.
    """
    assert ground.store is not None, "the service says that it needs one"
    network = read_network(ground.settings.ledger)
    door = Door(network.genesis, network.endpoints)

    service = uniqueness_of(ground.settings, ground.store, lambda: door.session)
    return [uniqueness_part(service, start=door.start, stop=door.stop)]


def uniqueness_of(settings: Settings, store: Store, ledger: Callable[[], Ledger]) -> Uniqueness:
    """The service itself.

    Raises:
        ConfigError: No signing key is named.
        KeyFileError: A key can't be read or opened, or is not in its token.
    """
    own = settings.uniqueness
    opening = SigningSettings(passphrase_file=own.passphrase_file, allow_plain=own.allow_plain)
    signer = signer_of(opening, "uniqueness.signing_key", own.signing_key)
    if signer is None:
        raise ConfigError(
            "uniqueness.signing_key is missing: name a key file of the organisation with the role uniqueness, purpose "
            "attest"
        )
    questions = Budget("questions", own.per_minute_max, own.per_day_max)
    moves = Budget("moves", own.retags_per_day_max, own.retags_per_day_max)
    return Uniqueness(store, TagKeys(own, os.environ), ledger, signer, questions, moves, unix_ms)


def tagger_of(settings: Settings) -> HttpTagger | None:
    """The uniqueness service as a desk asks it; None where none is named.

    Raises:
        ConfigError: Its address or certificates are not what they must be.
        KeyFileError: The registrar's key can't be read, or others can read it.
    """
    own = settings.uniqueness
    if not own.url:
        return None
    if not own.bearer_file:
        raise ConfigError("uniqueness.bearer_file is missing: it holds the key that the service's operator gave you")
    bearer = read_private(Path(own.bearer_file), KEY_CHARACTERS_MAX * 2).strip().decode("ascii", "replace")
    return HttpTagger(own.url, bearer, own.ca_file)
